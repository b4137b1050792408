package dev.edgegen.demo.chat

import androidx.lifecycle.ViewModel
import androidx.lifecycle.viewModelScope
import dev.edgegen.core.chat.ChatController
import dev.edgegen.core.chat.ChatEvent
import dev.edgegen.core.chat.ChatState
import dev.edgegen.core.chat.ConfigSource
import dev.edgegen.core.chat.EngineState
import dev.edgegen.core.chat.ModelChoice
import dev.edgegen.core.engine.EngineFactory
import dev.edgegen.core.meter.ContextMeter
import dev.edgegen.core.meter.ContextUse
import dev.edgegen.demo.device.AndroidProbe
import dev.edgegen.demo.device.MemoryRequests
import dev.edgegen.demo.settings.EnginePreference
import dev.edgegen.demo.settings.TaskEngine
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.delay
import kotlinx.coroutines.flow.SharingStarted
import kotlinx.coroutines.flow.StateFlow
import kotlinx.coroutines.flow.combine
import kotlinx.coroutines.flow.conflate
import kotlinx.coroutines.flow.flow
import kotlinx.coroutines.flow.flowOn
import kotlinx.coroutines.flow.map
import kotlinx.coroutines.flow.stateIn
import kotlinx.coroutines.launch
import kotlinx.coroutines.withContext

/** Holds the chat while the activity comes and goes; its rules are in `:core`. */
class ChatViewModel(
    engines: EngineFactory,
    configs: ConfigSource,
    private val store: ChatStore,
    private val preference: EnginePreference,
    private val probe: AndroidProbe,
    memory: MemoryRequests,
) : ViewModel() {
    // Read at once: a screen that comes back must not show an empty chat first.
    private val controller = ChatController(engines, configs, viewModelScope, store.restore())
    private var meter: Pair<Int?, ContextMeter>? = null

    val state: StateFlow<ChatUiState> = controller.state
        .map { it to contextOf(it) }
        .flowOn(Dispatchers.Default)
        // Counting may take longer than a token does; only the newest state is of interest.
        .conflate()
        .combine(preference.taskEngine) { (chat, use), engine -> ChatUiState(chat, use, engine) }
        .stateIn(
            viewModelScope,
            SharingStarted.WhileSubscribed(STAY_MS),
            ChatUiState(controller.state.value, null, preference.taskEngine.value),
        )

    val deviceLine: StateFlow<DeviceLineState> = flow {
        while (true) {
            emit(DeviceLineState(probe.state(), probe.appMemoryBytes()))
            delay(LOOK_EVERY_MS)
        }
    }
        .flowOn(Dispatchers.IO)
        .stateIn(viewModelScope, SharingStarted.WhileSubscribed(STAY_MS), DeviceLineState())

    init {
        viewModelScope.launch {
            controller.state.collect {
                // What changes meanwhile is in the state that comes next.
                withContext(Dispatchers.IO) { store.save(it) }
                delay(SAVE_EVERY_MS)
            }
        }
        viewModelScope.launch {
            memory.requests.collect { controller.dispatch(ChatEvent.LowMemory) }
        }
    }

    fun dispatch(event: ChatEvent) {
        controller.dispatch(event)
    }

    fun choose(choice: ModelChoice) {
        controller.dispatch(ChatEvent.ChooseModel(choice))
    }

    /** Opens the bundle again, if it is one that this choice is about. */
    fun chooseEngine(engine: TaskEngine) {
        if (engine == preference.taskEngine.value) return
        preference.choose(engine)
        val choice = controller.state.value.model
        if (choice != null && choice.id.endsWith(".task")) {
            controller.dispatch(ChatEvent.ChooseModel(null))
            controller.dispatch(ChatEvent.ChooseModel(choice))
        }
    }

    /** What came since the last time is kept, too; nothing else will. */
    override fun onCleared() {
        store.save(controller.state.value)
    }

    private fun contextOf(chat: ChatState): ContextUse? {
        val ready = chat.engine as? EngineState.Ready ?: return null
        val capacity = ready.info.maxTokens
        val known = meter?.takeIf { it.first == capacity }
            ?: (capacity to ContextMeter(capacity, controller::countTokens)).also { meter = it }
        val texts = listOf(chat.settings.systemPrompt).filter { it.isNotBlank() } +
            chat.messages.map { it.text }
        return known.second.of(texts)
    }

    private companion object {
        // A turned screen is back within this time, and finds all as it was.
        const val STAY_MS = 5_000L
        const val LOOK_EVERY_MS = 2_000L
        const val SAVE_EVERY_MS = 1_000L
    }
}
