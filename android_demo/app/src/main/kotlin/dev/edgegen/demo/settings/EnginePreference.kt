package dev.edgegen.demo.settings

import android.content.Context
import kotlinx.coroutines.flow.MutableStateFlow
import kotlinx.coroutines.flow.StateFlow
import kotlinx.coroutines.flow.asStateFlow

/** What opens a `.task` bundle; for `.litertlm` there is only one. */
enum class TaskEngine {
    LITERT_LM,
    MEDIAPIPE,
}

/** The user's choice of engine, kept for the next start. */
class EnginePreference(context: Context) {
    private val kept = context.getSharedPreferences("engine", Context.MODE_PRIVATE)
    private val chosen = MutableStateFlow(read())

    val taskEngine: StateFlow<TaskEngine> = chosen.asStateFlow()

    fun choose(engine: TaskEngine) {
        chosen.value = engine
        kept.edit().putString(KEY, engine.name).apply()
    }

    private fun read(): TaskEngine {
        val name = kept.getString(KEY, null)
        return TaskEngine.entries.firstOrNull { it.name == name } ?: TaskEngine.LITERT_LM
    }

    private companion object {
        const val KEY = "task"
    }
}
