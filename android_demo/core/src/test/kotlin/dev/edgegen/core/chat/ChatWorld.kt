package dev.edgegen.core.chat

import dev.edgegen.core.engine.Delegate
import dev.edgegen.core.engine.EngineInfo
import dev.edgegen.core.engine.Role
import kotlin.random.Random
import kotlin.test.assertEquals
import kotlin.test.assertFalse
import kotlin.test.assertNotNull
import kotlin.test.assertTrue

/**
 * A chat and an engine that does what it is told, when it likes: the random part of the tests.
 *
 * It keeps the books that the rules must agree with, and checks them after each event.
 */
internal class ChatWorld(private val random: Random) {
    var state = ChatState()
        private set

    /** Texts that the user sent, of the conversation that is open. */
    private val sent = mutableListOf<String>()
    private var openLoad: ChatEffect.Load? = null
    private var openGeneration: ChatEffect.Generate? = null
    private var isOpen = false
    private var clock = 0L
    private var texts = 0
    var generations = 0
        private set

    fun happen(event: ChatEvent) {
        val before = state
        val step = reduce(before, event, ++clock)
        state = step.state
        if (event == ChatEvent.Send && before.canSend) sent += before.draft.trim()
        if (event == ChatEvent.Clear) sent.clear()
        step.effects.forEach(::carryOut)
        check(event)
    }

    fun randomEvent(): ChatEvent {
        val answers = engineEvents()
        if (answers.isNotEmpty() && random.nextInt(3) == 0) return answers.random(random)
        return when (random.nextInt(16)) {
            0, 1, 2 -> ChatEvent.EditDraft(if (random.nextInt(8) == 0) " " else "text ${++texts}")
            3, 4, 5, 6 -> ChatEvent.Send
            7 -> ChatEvent.Stop
            8 -> ChatEvent.Regenerate
            9 -> ChatEvent.ScreenRecreated
            10 -> ChatEvent.LowMemory
            11, 12 -> ChatEvent.ChooseModel(choices.random(random))
            13 -> ChatEvent.DismissError
            14 -> if (random.nextInt(4) == 0) ChatEvent.Clear else ChatEvent.Stop
            else -> stale()
        }
    }

    /** The process dies and comes back; whatever the engine was doing is gone with it. */
    fun dieAndComeBack() {
        val drafted = state.draft
        val text = SavedChat.of(state).encode()
        state = assertNotNull(SavedChat.decode(text)).restore()
        openLoad = null
        openGeneration = null
        isOpen = false
        assertEquals(drafted, state.draft)
        assertFalse(state.isBusy, "nothing runs in a new process")
        check(ChatEvent.ScreenRecreated)
    }

    /** The engine ends all that it was asked for, and nobody asks for more. */
    fun comeToRest() {
        var left = 100
        while (left-- > 0) {
            // Anything but tokens ends something.
            val event = engineEvents().firstOrNull { it !is ChatEvent.Token } ?: break
            chosen(event)
            happen(event)
        }
        assertTrue(left > 0, "the chat does not come to rest")
        assertFalse(state.isBusy, "a spinner is stuck: $state")
        assertFalse(state.answerDue, "a message waits for ever: $state")
        assertTrue(state.messages.none { it.status == MessageStatus.STREAMING })
    }

    private fun carryOut(effect: ChatEffect) {
        when (effect) {
            is ChatEffect.Load -> {
                assertEquals(null, openLoad, "two bundles are opened at once")
                assertEquals(null, openGeneration, "a bundle is opened during an answer")
                assertFalse(isOpen, "a bundle is opened before the last one was closed")
                openLoad = effect
            }
            is ChatEffect.Unload -> {
                assertEquals(null, openGeneration, "the engine is freed during an answer")
                assertTrue(isOpen, "nothing is open to be freed")
                isOpen = false
            }
            is ChatEffect.Generate -> {
                assertEquals(null, openGeneration, "two generations at once")
                assertTrue(isOpen, "an answer without a model")
                openGeneration = effect
                generations++
            }
            is ChatEffect.Cancel -> assertEquals(openGeneration?.generationId, effect.generationId)
        }
    }

    private fun engineEvents(): List<ChatEvent> = buildList {
        openLoad?.let { load ->
            add(ChatEvent.Loaded(load.loadId, info).books { openLoad = null; isOpen = true })
            add(ChatEvent.LoadFailed(load.loadId, UserError("no")).books { openLoad = null })
        }
        openGeneration?.generationId?.let { id ->
            repeat(3) { add(ChatEvent.Token(id, "token ", 1, clock)) }
            add(ChatEvent.Ended(id).books { openGeneration = null })
            add(ChatEvent.Failed(id, UserError("no")).books { openGeneration = null })
        }
    }

    // What an event changes in the books is changed only if it is the one that happens.
    private val pending = mutableMapOf<ChatEvent, () -> Unit>()

    private fun ChatEvent.books(change: () -> Unit): ChatEvent = also { pending[it] = change }

    /** Keeps the books of an event of [randomEvent] that is about to happen. */
    fun chosen(event: ChatEvent) {
        pending[event]?.invoke()
        pending.clear()
    }

    private fun stale(): ChatEvent = listOf(
        ChatEvent.Token(0, "late", 1, clock),
        ChatEvent.Ended(0),
        ChatEvent.Failed(0, UserError("late")),
        ChatEvent.Loaded(0, info),
        ChatEvent.LoadFailed(0, UserError("late")),
    ).random(random)

    private fun check(event: ChatEvent) {
        val shown = state.messages.filter { it.role == Role.USER }
        assertEquals(sent, shown.map { it.text }, "a message was lost at $event")
        assertEquals(openLoad != null, state.isLoading, "a spinner without a load at $event")
        assertEquals(openGeneration != null, state.isGenerating, "stop button at $event")
        assertEquals(isOpen, state.engine is EngineState.Ready, "the engine at $event")
        assertEquals(state.messages.map { it.id }.distinct(), state.messages.map { it.id })
        val streaming = state.messages.filter { it.status == MessageStatus.STREAMING }
        assertTrue(streaming.size <= 1 && streaming.all { it.id == state.generation?.messageId })
        if (state.answerDue) assertTrue(state.isBusy, "nothing will answer at $event")
    }

    private companion object {
        val info = EngineInfo("fake", null, Delegate.CPU, 1.0)
        val choices =
            listOf(ModelChoice("a"), ModelChoice("b"), ModelChoice("a", Delegate.GPU), null)
    }
}
