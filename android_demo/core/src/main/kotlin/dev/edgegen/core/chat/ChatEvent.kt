package dev.edgegen.core.chat

import dev.edgegen.core.engine.EngineInfo
import dev.edgegen.core.engine.Prompt
import dev.edgegen.core.engine.SamplerSettings

/** What happens to a chat. The last group comes from whoever carries out [ChatEffect]s. */
sealed interface ChatEvent {
    /** The user wants this model; `null` for none. */
    data class ChooseModel(val choice: ModelChoice?) : ChatEvent

    data class EditDraft(val text: String) : ChatEvent

    /** Sends the draft. What cannot be sent now stays the draft. */
    data object Send : ChatEvent

    data object Stop : ChatEvent

    /** Answers the user's last message anew. */
    data object Regenerate : ChatEvent

    data class ChangeSettings(val settings: ChatSettings) : ChatEvent

    /** Begins a new conversation; the draft stays. */
    data object Clear : ChatEvent

    data object DismissError : ChatEvent

    /** The screen was made anew, as when it is turned. */
    data object ScreenRecreated : ChatEvent

    /** The system is short of memory: the engine is freed, and opened again when it is needed. */
    data object LowMemory : ChatEvent

    data class Loaded(val loadId: Long, val info: EngineInfo, val fallback: String? = null) :
        ChatEvent

    data class LoadFailed(val loadId: Long, val error: UserError) : ChatEvent

    data class Token(val generationId: Long, val text: String, val tokens: Int, val atNs: Long) :
        ChatEvent

    /** The engine has ended an answer, by itself or because it was told to. */
    data class Ended(val generationId: Long) : ChatEvent

    /** The engine has failed in an answer, and runs nothing any more. */
    data class Failed(val generationId: Long, val error: UserError) : ChatEvent
}

/** What is to be done, in this order, one after the other. */
sealed interface ChatEffect {
    /** Open a bundle; ends in `Loaded` or `LoadFailed`. */
    data class Load(val loadId: Long, val choice: ModelChoice) : ChatEffect

    /** Free the engine. */
    data object Unload : ChatEffect

    /** Let the engine answer; `Token`s, then `Ended` or `Failed`. */
    data class Generate(
        val generationId: Long,
        val prompt: Prompt,
        val sampler: SamplerSettings,
    ) : ChatEffect

    /** Make a generation end; `Ended` or `Failed` still comes. */
    data class Cancel(val generationId: Long) : ChatEffect
}

/** What an event led to. */
data class Step(val state: ChatState, val effects: List<ChatEffect> = emptyList())
