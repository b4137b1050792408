package dev.edgegen.core.chat

import kotlinx.serialization.SerializationException
import kotlinx.serialization.Serializable
import kotlinx.serialization.json.Json

private const val VERSION = 1
private val json = Json { ignoreUnknownKeys = true }

/** What outlives the app's process. Loading and generating do not. */
@Serializable
data class SavedChat(
    val messages: List<Message> = emptyList(),
    val draft: String = "",
    val settings: ChatSettings = ChatSettings(),
    val model: ModelChoice? = null,
    private val version: Int = VERSION,
) {
    /**
     * Returns the state to go on with: an answer that was coming is cut off, and the model is
     * opened when it is next needed.
     */
    fun restore(): ChatState = ChatState(
        messages = messages.mapNotNull {
            when {
                it.status != MessageStatus.STREAMING -> it
                it.text.isEmpty() -> null
                else -> it.copy(status = MessageStatus.CUT_OFF)
            }
        },
        draft = draft,
        settings = settings,
        model = model,
        nextId = (messages.maxOfOrNull { it.id } ?: 0) + 1,
    )

    /** Returns it as text. */
    fun encode(): String = json.encodeToString(this)

    companion object {
        /** Returns what to save of a state. */
        fun of(state: ChatState): SavedChat =
            SavedChat(state.messages, state.draft, state.settings, state.model)

        /** Reads what [encode] wrote; `null` for what another version wrote, or is damaged. */
        fun decode(text: String): SavedChat? = try {
            json.decodeFromString<SavedChat>(text).takeIf { it.version == VERSION }
        } catch (_: SerializationException) {
            null
        } catch (_: IllegalArgumentException) {
            null
        }
    }
}
