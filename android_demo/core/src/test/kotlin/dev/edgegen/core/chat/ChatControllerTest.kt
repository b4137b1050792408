package dev.edgegen.core.chat

import dev.edgegen.core.engine.Chunk
import dev.edgegen.core.engine.Delegate
import dev.edgegen.core.engine.Engine
import dev.edgegen.core.engine.EngineConfig
import dev.edgegen.core.engine.EngineException
import dev.edgegen.core.engine.EngineInfo
import dev.edgegen.core.engine.FailureKind
import dev.edgegen.core.engine.Prompt
import dev.edgegen.core.engine.SamplerSettings
import java.io.File
import java.util.concurrent.atomic.AtomicInteger
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFalse
import kotlin.test.assertNull
import kotlin.test.assertTrue
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.Job
import kotlinx.coroutines.cancelAndJoin
import kotlinx.coroutines.delay
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.flow.flow
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.withTimeout

class ChatControllerTest {
    /** An engine that says the words of the message, slowly. */
    private class WordEngine(
        private val refuses: (EngineConfig) -> Throwable? = { null },
        private val breaks: Throwable? = null,
        private val deaf: Boolean = false,
        private val pauseMs: Long = 1,
    ) : Engine {
        override val name = "words"
        val running = AtomicInteger()
        var most = 0
        var closed = 0
        @Volatile private var cancelled = false

        override suspend fun load(config: EngineConfig): EngineInfo {
            refuses(config)?.let { throw it }
            return EngineInfo(name, "1", config.delegate, 1.0)
        }

        override fun generate(prompt: Prompt, sampler: SamplerSettings): Flow<Chunk> = flow {
            cancelled = false
            most = maxOf(most, running.incrementAndGet())
            try {
                for (word in prompt.message.split(' ')) {
                    if (cancelled && !deaf) return@flow
                    breaks?.let { throw it }
                    emit(Chunk("$word "))
                    delay(pauseMs)
                }
            } finally {
                running.decrementAndGet()
            }
        }

        override fun cancel() {
            cancelled = true
        }

        override fun countTokens(text: String) = text.length

        override fun close() {
            closed++
        }
    }

    private fun with(engine: WordEngine, test: suspend (ChatController) -> Unit) = runBlocking {
        val job = Job()
        val controller = ChatController(
            engines = { engine },
            configs = { EngineConfig(File("${it.id}.task"), it.delegate) },
            scope = CoroutineScope(Dispatchers.Default + job),
            patienceMs = 50,
        )
        try {
            withTimeout(20_000) { test(controller) }
        } finally {
            job.cancelAndJoin()
        }
        assertTrue(engine.closed > 0, "the engine is freed with the scope")
    }

    private suspend fun ChatController.until(what: (ChatState) -> Boolean): ChatState =
        state.first(what)

    private fun ChatController.ask(text: String) {
        dispatch(ChatEvent.EditDraft(text))
        dispatch(ChatEvent.Send)
    }

    @Test
    fun `a conversation`() = with(WordEngine()) { chat ->
        assertNull(chat.countTokens("abc"))
        chat.ask("nobody answers")
        chat.dispatch(ChatEvent.ChooseModel(ModelChoice("a")))
        chat.dispatch(ChatEvent.Send)
        val done = chat.until {
            it.messages.size == 2 && it.messages.last().status == MessageStatus.COMPLETE
        }
        assertEquals("nobody answers ", done.messages.last().text)
        assertEquals(3, chat.countTokens("abc"))
    }

    @Test
    fun `stop ends an answer, even of an engine that does not listen`() {
        for (deaf in listOf(false, true)) {
            val engine = WordEngine(deaf = deaf, pauseMs = 5)
            with(engine) { chat ->
                chat.dispatch(ChatEvent.ChooseModel(ModelChoice("a")))
                chat.ask(List(4000) { "word" }.joinToString(" "))
                chat.until { it.messages.last().text.isNotEmpty() && it.isGenerating }
                chat.dispatch(ChatEvent.Stop)
                val stopped = chat.until { !it.isBusy }
                assertEquals(MessageStatus.STOPPED, stopped.messages.last().status)
                chat.ask("again")
                chat.until { it.messages.last().text == "again " && !it.isBusy }
                assertEquals(1, engine.most)
            }
        }
    }

    @Test
    fun `an answer that is stopped at once ends`() = with(WordEngine(pauseMs = 5)) { chat ->
        chat.dispatch(ChatEvent.ChooseModel(ModelChoice("a")))
        chat.until { it.engine is EngineState.Ready }
        chat.ask(List(4000) { "word" }.joinToString(" "))
        chat.dispatch(ChatEvent.Stop)
        assertFalse(chat.until { !it.isBusy }.answerDue)
    }

    @Test
    fun `the CPU stands in for a GPU that refuses, and it is said`() {
        val engine = WordEngine(refuses = { config ->
            EngineException(FailureKind.REFUSED, "no OpenCL")
                .takeIf { config.delegate == Delegate.GPU }
        })
        with(engine) { chat ->
            chat.dispatch(ChatEvent.ChooseModel(ModelChoice("a", Delegate.GPU)))
            val ready = chat.until { it.engine is EngineState.Ready }.engine as EngineState.Ready
            assertEquals("no OpenCL", ready.fallback)
            assertEquals(Delegate.CPU, ready.info.delegate)
        }
    }

    @Test
    fun `errors come in words`() {
        val cases = listOf(
            EngineException(FailureKind.MISSING, "it is gone", "copy it") to UserError(
                "it is gone",
                "copy it",
            ),
            IllegalStateException("odd") to UserError("IllegalStateException: odd"),
            OutOfMemoryError("heap") to
                UserError(
                    "There is not enough memory.",
                    "Close other apps, or take a smaller model.",
                ),
            UnsatisfiedLinkError("lib.so") to UserError(
                "A library of the engine cannot be loaded: lib.so",
                "The engine may not be built for this device's processor.",
            ),
        )
        for ((thrown, words) in cases) {
            with(WordEngine(refuses = { thrown })) { chat ->
                chat.dispatch(ChatEvent.ChooseModel(ModelChoice("a", Delegate.GPU)))
                assertEquals(words, chat.until { it.error != null }.error)
                assertFalse(chat.state.value.isBusy)
            }
            with(WordEngine(breaks = thrown)) { chat ->
                chat.dispatch(ChatEvent.ChooseModel(ModelChoice("a")))
                chat.ask("hello")
                assertEquals(words, chat.until { it.error != null }.error)
                assertFalse(chat.state.value.isBusy)
            }
        }
        assertEquals(UserError("Exception: no message"), wordsFor(Exception()))
    }

    @Test
    fun `low memory frees the engine`() {
        val engine = WordEngine()
        with(engine) { chat ->
            chat.dispatch(ChatEvent.ChooseModel(ModelChoice("a")))
            chat.until { it.engine is EngineState.Ready }
            chat.dispatch(ChatEvent.LowMemory)
            assertEquals(EngineState.Absent, chat.state.value.engine)
            chat.ask("hello again")
            chat.until { it.messages.last().text == "hello again " && !it.isBusy }
        }
    }
}
