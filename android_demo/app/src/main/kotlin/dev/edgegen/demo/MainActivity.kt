package dev.edgegen.demo

import android.os.Bundle
import androidx.activity.ComponentActivity
import androidx.activity.compose.setContent
import androidx.activity.enableEdgeToEdge
import dev.edgegen.demo.ui.DemoApp
import dev.edgegen.demo.ui.DemoTheme

/** The one activity that a user sees. */
class MainActivity : ComponentActivity() {
    override fun onCreate(savedInstanceState: Bundle?) {
        enableEdgeToEdge()
        super.onCreate(savedInstanceState)
        setContent {
            DemoTheme {
                DemoApp()
            }
        }
    }
}
