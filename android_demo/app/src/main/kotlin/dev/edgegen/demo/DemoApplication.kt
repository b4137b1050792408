package dev.edgegen.demo

import android.app.Application
import android.content.ComponentCallbacks2

class DemoApplication : Application() {
    lateinit var container: AppContainer
        private set

    override fun onCreate() {
        super.onCreate()
        container = AppContainer(this)
    }

    override fun onTrimMemory(level: Int) {
        super.onTrimMemory(level)
        // The screen is hidden and the system looks for memory: a model is the most of ours.
        if (level >= ComponentCallbacks2.TRIM_MEMORY_BACKGROUND) container.memory.ask()
    }
}
