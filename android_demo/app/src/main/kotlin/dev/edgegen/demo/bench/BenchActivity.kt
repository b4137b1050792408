package dev.edgegen.demo.bench

import android.content.Intent
import android.os.Build
import android.os.Bundle
import android.view.WindowManager
import androidx.activity.ComponentActivity
import androidx.activity.compose.setContent
import androidx.activity.enableEdgeToEdge
import androidx.activity.viewModels
import dev.edgegen.core.bench.BENCH_ACTION
import dev.edgegen.core.bench.REQUEST_EXTRA
import dev.edgegen.demo.ui.DemoTheme
import dev.edgegen.demo.viewModelFactories

/**
 * What `edgegen bench --runner app` starts. It is in the foreground with the screen on, since the
 * system freezes what is not, or moves it to the slow cores.
 */
class BenchActivity : ComponentActivity() {
    private val viewModel: HeadlessViewModel by viewModels { viewModelFactories }

    override fun onCreate(savedInstanceState: Bundle?) {
        enableEdgeToEdge()
        super.onCreate(savedInstanceState)
        window.addFlags(WindowManager.LayoutParams.FLAG_KEEP_SCREEN_ON)
        if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.O_MR1) {
            setShowWhenLocked(true)
            setTurnScreenOn(true)
        }
        start(intent)
        setContent {
            DemoTheme {
                HeadlessScreen(viewModel, onDone = ::finishAndRemoveTask)
            }
        }
    }

    override fun onNewIntent(intent: Intent) {
        super.onNewIntent(intent)
        start(intent)
    }

    private fun start(intent: Intent?) {
        val id = intent?.takeIf { it.action == BENCH_ACTION }?.getStringExtra(REQUEST_EXTRA)
        if (id != null) viewModel.run(id)
    }
}
