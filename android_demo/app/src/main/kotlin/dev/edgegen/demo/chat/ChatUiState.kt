package dev.edgegen.demo.chat

import dev.edgegen.core.bench.DeviceState
import dev.edgegen.core.chat.ChatState
import dev.edgegen.core.meter.ContextUse
import dev.edgegen.demo.settings.TaskEngine
import java.io.File

/**
 * What the chat screen shows.
 *
 * @property context how full the KV cache is; `null` while no model is open.
 */
data class ChatUiState(
    val chat: ChatState = ChatState(),
    val context: ContextUse? = null,
    val taskEngine: TaskEngine = TaskEngine.LITERT_LM,
) {
    /** The chosen bundle's file name. */
    val modelName: String? get() = chat.model?.let { File(it.id).name }

    /** Whether the user can choose what opens the bundle. */
    val choosesEngine: Boolean get() = modelName?.endsWith(".task") == true
}

/**
 * The line on memory and temperature.
 *
 * @property appMemoryBytes that this process has; `null` before it was asked.
 */
data class DeviceLineState(
    val device: DeviceState = DeviceState(),
    val appMemoryBytes: Long? = null,
)
