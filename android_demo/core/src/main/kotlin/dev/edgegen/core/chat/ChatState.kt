package dev.edgegen.core.chat

import dev.edgegen.core.engine.Delegate
import dev.edgegen.core.engine.EngineInfo
import dev.edgegen.core.engine.Role
import dev.edgegen.core.engine.SamplerSettings
import dev.edgegen.core.meter.TokenRateMeter
import dev.edgegen.core.meter.TokenRates
import kotlinx.serialization.Serializable

/** What became of a message. What the user says is always `COMPLETE`. */
@Serializable
enum class MessageStatus {
    /** It still comes. */
    STREAMING,
    COMPLETE,

    /** The user stopped it. */
    STOPPED,

    /** The engine failed, or was ended: by low memory, or with the app's process. */
    CUT_OFF,
}

/**
 * A message of the conversation.
 *
 * @property id unique in the conversation, ascending.
 * @property rates how fast it came; `null` for the user's.
 */
@Serializable
data class Message(
    val id: Long,
    val role: Role,
    val text: String,
    val status: MessageStatus = MessageStatus.COMPLETE,
    val rates: TokenRates? = null,
)

/**
 * Which bundle to chat with, and how to open it.
 *
 * @property id of the catalogue's entry.
 * @property delegate who should compute.
 */
@Serializable
data class ModelChoice(val id: String, val delegate: Delegate = Delegate.CPU)

/** What the user may set for the next answers. */
@Serializable
data class ChatSettings(
    val systemPrompt: String = "",
    val sampler: SamplerSettings = SamplerSettings(),
)

/** An error in words. */
@Serializable
data class UserError(val message: String, val hint: String = "")

/** What the engine is doing, beside generating. */
sealed interface EngineState {
    /** Nothing is open. */
    data object Absent : EngineState

    data class Loading(val loadId: Long, val choice: ModelChoice) : EngineState

    /**
     * A bundle is open.
     *
     * @property choice what was asked for.
     * @property fallback why [EngineInfo.delegate] is another than asked for; `null` if it is not.
     */
    data class Ready(val choice: ModelChoice, val info: EngineInfo, val fallback: String? = null) :
        EngineState
}

/** A generation that the engine has begun and not yet ended. */
data class Generation(
    val id: Long,
    val messageId: Long,
    val meter: TokenRateMeter,
    val stopping: Stopping? = null,
)

/** Why a generation was told to end. */
enum class Stopping {
    BY_USER,
    BY_SYSTEM,
}

/**
 * All that the chat screen shows, and all that decides what happens next.
 *
 * @property messages the conversation, oldest first.
 * @property draft what the user has typed and not sent.
 * @property model the bundle that the user wants.
 * @property engine what is open.
 * @property generation what runs.
 * @property answerDue whether the last message, the user's, still waits for its answer.
 * @property loadDue whether the model is to be opened though nothing waits for it.
 * @property unloadDue whether the engine is to be freed as soon as it is idle.
 * @property error what to tell the user, until dismissed.
 * @property nextId for messages, generations and loads.
 */
data class ChatState(
    val messages: List<Message> = emptyList(),
    val draft: String = "",
    val settings: ChatSettings = ChatSettings(),
    val model: ModelChoice? = null,
    val engine: EngineState = EngineState.Absent,
    val generation: Generation? = null,
    val answerDue: Boolean = false,
    val loadDue: Boolean = false,
    val unloadDue: Boolean = false,
    val error: UserError? = null,
    val nextId: Long = 1,
) {
    /** Whether the model is being opened. */
    val isLoading: Boolean get() = engine is EngineState.Loading

    /** Whether an answer comes. */
    val isGenerating: Boolean get() = generation != null

    /** Whether anything moves on the screen. */
    val isBusy: Boolean get() = isLoading || isGenerating

    val canSend: Boolean
        get() = model != null && draft.isNotBlank() && !isGenerating && !answerDue

    val canStop: Boolean get() = answerDue || (generation != null && generation.stopping == null)

    val canRegenerate: Boolean
        get() = model != null && !isGenerating && !answerDue &&
            messages.any { it.role == Role.USER }
}
