package dev.edgegen.core.chat

import dev.edgegen.core.engine.Delegate
import dev.edgegen.core.engine.EngineInfo
import dev.edgegen.core.engine.Prompt
import dev.edgegen.core.engine.Role
import dev.edgegen.core.engine.SamplerSettings
import dev.edgegen.core.engine.Turn
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFalse
import kotlin.test.assertNull
import kotlin.test.assertTrue

class ChatReducerTest {
    private val choice = ModelChoice("a")
    private val info = EngineInfo("fake", null, Delegate.CPU, 1.0)

    private fun run(vararg events: ChatEvent, from: ChatState = ChatState()): Step =
        events.fold(Step(from)) { step, event ->
            val next = reduce(step.state, event, 1_000)
            Step(next.state, step.effects + next.effects)
        }

    private fun ready(from: ChatState = ChatState()): ChatState =
        run(ChatEvent.ChooseModel(choice), from = from).let { loading ->
            val id = (loading.effects.last() as ChatEffect.Load).loadId
            run(ChatEvent.Loaded(id, info), from = loading.state).state
        }

    private fun asked(text: String = "hello", from: ChatState = ready()): Step =
        run(ChatEvent.EditDraft(text), ChatEvent.Send, from = from)

    private val Step.generate get() = effects.filterIsInstance<ChatEffect.Generate>().single()

    @Test
    fun `a message is answered token by token`() {
        val settings = ChatSettings("Be brief.", SamplerSettings(temperature = 0.5f))
        val step = asked(from = ready(ChatState(settings = settings)))
        assertEquals(Prompt("Be brief.", emptyList(), "hello"), step.generate.prompt)
        assertEquals(settings.sampler, step.generate.sampler)
        val id = step.generate.generationId
        val done = run(
            ChatEvent.Token(id, "Hi", 1, 2_000_000),
            ChatEvent.Token(id, " you", 1, 1_002_000_000),
            ChatEvent.Ended(id),
            from = step.state,
        ).state
        val answer = done.messages.last()
        assertEquals("Hi you", answer.text)
        assertEquals(MessageStatus.COMPLETE, answer.status)
        assertEquals(2, answer.rates?.tokens)
        assertEquals(1.0, answer.rates?.tokensPerS)
        assertEquals(1.999, answer.rates?.ttftMs)
        assertFalse(done.isBusy)
        assertTrue(done.canRegenerate)
    }

    @Test
    fun `what is sent before the model is open waits for it`() {
        val chosen = run(ChatEvent.ChooseModel(choice))
        val waiting = asked(from = chosen.state)
        assertTrue(waiting.effects.isEmpty())
        assertTrue(waiting.state.canStop)
        val loaded = run(ChatEvent.Loaded(1, info), from = waiting.state)
        assertEquals("hello", loaded.generate.prompt.message)
    }

    @Test
    fun `what cannot be sent stays the draft`() {
        assertEquals("hello", asked(from = ChatState()).state.draft)
        val answering = asked().state
        val again = run(ChatEvent.EditDraft("more"), ChatEvent.Send, from = answering).state
        assertEquals("more", again.draft)
        assertEquals(answering.messages, again.messages)
        assertFalse(again.canSend)
    }

    @Test
    fun `stop keeps what was said and waits for the engine`() {
        val step = asked()
        val id = step.generate.generationId
        val stopped = run(
            ChatEvent.Token(id, "Hi", 1, 0),
            ChatEvent.Stop,
            ChatEvent.Stop,
            from = step.state,
        )
        assertEquals(listOf<ChatEffect>(ChatEffect.Cancel(id)), stopped.effects)
        assertTrue(stopped.state.isGenerating)
        assertFalse(stopped.state.canStop)
        val late = run(
            ChatEvent.Token(id, " late", 1, 0),
            ChatEvent.Failed(id, UserError("stopped")),
            from = stopped.state,
        )
        assertEquals("Hi", late.state.messages.last().text)
        assertEquals(MessageStatus.STOPPED, late.state.messages.last().status)
        assertNull(late.state.error)
    }

    @Test
    fun `an answer that was stopped before it began leaves no empty message`() {
        val step = asked()
        val stopped = run(
            ChatEvent.Stop,
            ChatEvent.Ended(step.generate.generationId),
            from = step.state,
        )
        assertEquals(listOf("hello"), stopped.state.messages.map { it.text })
        // The next message is another one of the same side: templates want turns that alternate.
        val next = asked("are you there?", stopped.state)
        assertEquals("hello\n\nare you there?", next.generate.prompt.message)
        assertEquals(emptyList(), next.generate.prompt.history)
    }

    @Test
    fun `regenerate answers the last message anew`() {
        val step = asked()
        val id = step.generate.generationId
        val done = run(ChatEvent.Token(id, "Hi", 1, 0), ChatEvent.Ended(id), from = step.state)
            .state
        val second = asked("and now?", done)
        assertEquals(
            listOf(Turn(Role.USER, "hello"), Turn(Role.MODEL, "Hi")),
            second.generate.prompt.history,
        )
        val again = run(
            ChatEvent.Ended(second.generate.generationId),
            ChatEvent.Regenerate,
            from = second.state,
        )
        assertEquals("and now?", again.generate.prompt.message)
        assertEquals(MessageStatus.STREAMING, again.state.messages.last().status)
        assertFalse(again.state.canRegenerate)
        assertEquals(again.state, run(ChatEvent.Regenerate, from = again.state).state)
    }

    @Test
    fun `an engine's failure is told, and the rest goes on`() {
        val step = asked()
        val id = step.generate.generationId
        val error = UserError("The context is full.", "Begin anew.")
        val begun = run(ChatEvent.Token(id, "H", 1, 0), from = step.state).state
        val failed = run(ChatEvent.Failed(id, error), from = begun).state
        assertEquals(error, failed.error)
        assertEquals(MessageStatus.CUT_OFF, failed.messages.last().status)
        assertNull(run(ChatEvent.DismissError, from = failed).state.error)
        assertNull(asked("again", failed).state.error)
    }

    @Test
    fun `a model that cannot be opened answers nothing`() {
        val chosen = run(ChatEvent.ChooseModel(choice))
        val waiting = asked(from = chosen.state).state
        val error = UserError("no")
        val failed = run(ChatEvent.LoadFailed(1, error), from = waiting)
        assertEquals(error, failed.state.error)
        assertFalse(failed.state.isBusy || failed.state.answerDue)
        assertTrue(failed.effects.isEmpty())
        assertEquals(listOf("hello"), failed.state.messages.map { it.text })
        assertEquals(
            ChatEffect.Load(3, choice),
            run(ChatEvent.Regenerate, from = failed.state).effects.single(),
        )
    }

    @Test
    fun `another model is opened when the answer has ended`() {
        val step = asked()
        val id = step.generate.generationId
        val other = ModelChoice("b", Delegate.GPU)
        val chosen = run(
            ChatEvent.Token(id, "H", 1, 0),
            ChatEvent.ChooseModel(other),
            from = step.state,
        )
        assertEquals(listOf<ChatEffect>(ChatEffect.Cancel(id)), chosen.effects)
        val ended = run(ChatEvent.Ended(id), from = chosen.state)
        assertEquals(ChatEffect.Unload, ended.effects[0])
        assertEquals(other, (ended.effects[1] as ChatEffect.Load).choice)
        assertEquals(MessageStatus.CUT_OFF, ended.state.messages.last().status)
    }

    @Test
    fun `a failure of a model that is not wanted any more is not told`() {
        val loading = run(ChatEvent.ChooseModel(choice), ChatEvent.ChooseModel(ModelChoice("b")))
        val failed = run(ChatEvent.LoadFailed(1, UserError("no")), from = loading.state)
        assertNull(failed.state.error)
        assertEquals("b", (failed.effects.single() as ChatEffect.Load).choice.id)
    }

    @Test
    fun `a model that is not wanted any more is freed as soon as it is open`() {
        val loading = run(ChatEvent.ChooseModel(choice), ChatEvent.ChooseModel(null))
        val loaded = run(ChatEvent.Loaded(1, info), from = loading.state)
        assertEquals(listOf<ChatEffect>(ChatEffect.Unload), loaded.effects)
        assertEquals(EngineState.Absent, loaded.state.engine)
    }

    @Test
    fun `low memory frees the engine, and the next message opens it again`() {
        val step = asked()
        val id = step.generate.generationId
        val low = run(ChatEvent.Token(id, "H", 1, 0), ChatEvent.LowMemory, from = step.state)
        assertEquals(listOf<ChatEffect>(ChatEffect.Cancel(id)), low.effects)
        val freed = run(ChatEvent.Ended(id), from = low.state)
        assertEquals(listOf<ChatEffect>(ChatEffect.Unload), freed.effects)
        assertEquals(
            UserError(
                "The phone is short of memory, so the model was closed before the answer was " +
                    "complete.",
                "Close other apps, then have it answered anew.",
            ),
            freed.state.error,
        )
        assertTrue(asked("again", freed.state).effects.single() is ChatEffect.Load)
        // Nobody waited for anything: nothing to tell.
        assertNull(run(ChatEvent.LowMemory, from = ready()).state.error)
    }

    @Test
    fun `low memory while a model is opened frees it as soon as it is open`() {
        val low = run(ChatEvent.ChooseModel(choice), ChatEvent.LowMemory)
        assertTrue(low.state.isLoading)
        val freed = run(ChatEvent.Loaded(1, info), from = low.state)
        assertEquals(listOf<ChatEffect>(ChatEffect.Unload), freed.effects)
        assertFalse(freed.state.isBusy)
    }

    @Test
    fun `a new conversation keeps the draft and ends the answer`() {
        val step = asked()
        val cleared = run(ChatEvent.EditDraft("later"), ChatEvent.Clear, from = step.state)
        assertEquals(emptyList(), cleared.state.messages)
        assertEquals("later", cleared.state.draft)
        assertEquals(ChatEffect.Cancel(step.generate.generationId), cleared.effects.single())
        val ended = run(ChatEvent.Ended(step.generate.generationId), from = cleared.state)
        assertEquals("later", asked("later", ended.state).generate.prompt.message)
    }

    @Test
    fun `a fallback is kept beside what was asked for`() {
        val gpu = ModelChoice("a", Delegate.GPU)
        val loading = run(ChatEvent.ChooseModel(gpu))
        val state = run(ChatEvent.Loaded(1, info, "no OpenCL"), from = loading.state).state
        assertEquals(EngineState.Ready(gpu, info, "no OpenCL"), state.engine)
    }

    @Test
    fun `settings count from the next answer on`() {
        val changed = run(ChatEvent.ChangeSettings(ChatSettings("Rhyme.")), from = ready()).state
        assertEquals("Rhyme.", asked(from = changed).generate.prompt.system)
    }

    @Test
    fun `a process that died goes on without its spinners`() {
        val step = asked()
        val id = step.generate.generationId
        val begun = run(ChatEvent.Token(id, "H", 1, 0), from = step.state).state
        val alive = run(ChatEvent.EditDraft("next"), from = begun).state
        val restored = SavedChat.decode(SavedChat.of(alive).encode())!!.restore()
        assertFalse(restored.isBusy)
        assertEquals("next", restored.draft)
        assertEquals(choice, restored.model)
        assertEquals(MessageStatus.CUT_OFF, restored.messages.last().status)
        assertTrue(asked("next", restored).effects.single() is ChatEffect.Load)
        // What had not begun to come is not there; what was complete is as it was.
        val fresh = SavedChat.of(asked().state).restore()
        assertEquals(listOf(MessageStatus.COMPLETE), fresh.messages.map { it.status })
    }

    @Test
    fun `what is no saved chat is not restored`() {
        assertNull(SavedChat.decode("no json"))
        assertNull(SavedChat.decode("""{"messages": [{"id": "x"}]}"""))
        assertNull(SavedChat.decode("""{"version": 2}"""))
        val later = SavedChat.decode("""{"draft": "a", "new": 1}""")
        assertEquals(ChatState(draft = "a"), later?.restore())
    }
}
