package dev.edgegen.engine.litertlm

import com.google.ai.edge.litertlm.Contents
import com.google.ai.edge.litertlm.Conversation
import com.google.ai.edge.litertlm.ConversationConfig
import com.google.ai.edge.litertlm.Message
import com.google.ai.edge.litertlm.MessageCallback
import dev.edgegen.core.engine.Chunk
import dev.edgegen.core.engine.Engine
import dev.edgegen.core.engine.EngineConfig
import dev.edgegen.core.engine.EngineException
import dev.edgegen.core.engine.EngineInfo
import dev.edgegen.core.engine.FailureKind
import dev.edgegen.core.engine.Prompt
import dev.edgegen.core.engine.Role
import dev.edgegen.core.engine.SamplerSettings
import dev.edgegen.core.engine.Turn
import java.util.concurrent.CancellationException
import java.util.concurrent.CountDownLatch
import java.util.concurrent.TimeUnit
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.channels.Channel
import kotlinx.coroutines.channels.awaitClose
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.buffer
import kotlinx.coroutines.flow.callbackFlow
import kotlinx.coroutines.flow.flowOn
import kotlinx.coroutines.runInterruptible
import kotlinx.coroutines.withContext
import com.google.ai.edge.litertlm.Engine as NativeEngine

/**
 * LiteRT-LM's Kotlin API. It opens `.litertlm`, and `.task` with a SentencePiece tokenizer.
 *
 * The library renders the bundle's prompt template itself, so turns are handed over as they are.
 */
class LiteRtLmEngine : Engine {
    override val name: String = NAME

    private val lock = Any()
    private var open: Open? = null
    private var held: Held? = null

    @Volatile private var running: Running? = null

    private class Open(val native: NativeEngine, val config: EngineConfig)

    /** The library's conversation; [content] is `null` while nobody knows what it has seen. */
    private class Held(val native: Conversation) {
        @Volatile var content: Content? = null
    }

    /** What a conversation has in its KV cache, and how it samples. */
    private data class Content(
        val system: String,
        val sampler: SamplerSettings,
        val turns: List<Turn>,
    )

    private class Running(val native: Conversation) {
        val ended = CountDownLatch(1)
        @Volatile var cancelled = false
    }

    override suspend fun load(config: EngineConfig): EngineInfo = withContext(Dispatchers.IO) {
        if (!free()) {
            throw EngineException(
                FailureKind.TIMED_OUT,
                "$NAME does not end the answer before",
                "close the app and open it again",
            )
        }
        val native = NativeEngine(config.toNative())
        val started = System.nanoTime()
        try {
            native.initialize()
        } catch (error: Exception) {
            throw engineException("open ${config.bundle.name}", config.delegate, error)
        } catch (error: UnsatisfiedLinkError) {
            throw engineException("start", config.delegate, error)
        }
        val initMs = (System.nanoTime() - started) / 1e6
        synchronized(lock) { open = Open(native, config) }
        EngineInfo(
            name = NAME,
            version = null,
            delegate = config.delegate,
            initMs = initMs,
            maxTokens = config.maxTokens,
        )
    }

    override fun generate(prompt: Prompt, sampler: SamplerSettings): Flow<Chunk> = callbackFlow {
        running?.let { runInterruptible { it.ended.await() } }
        val delegate = opened().config.delegate
        val conversation = try {
            conversationFor(prompt, sampler)
        } catch (error: Exception) {
            throw engineException("start a conversation", delegate, error)
        }
        val run = Running(conversation.native)
        val answer = StringBuilder()
        running = run
        val callback = object : MessageCallback {
            override fun onMessage(message: Message) {
                // What a model thinks comes in a channel of its own, and is not shown.
                val text = message.toString()
                answer.append(text)
                trySend(Chunk(text))
            }

            override fun onDone() {
                // A conversation that was cut short is not taken back to where it was.
                if (!run.cancelled) {
                    val turns = prompt.history + Turn(Role.USER, prompt.message) +
                        Turn(Role.MODEL, answer.toString())
                    conversation.content = Content(prompt.system, sampler, turns)
                }
                run.ended.countDown()
                channel.close()
            }

            override fun onError(throwable: Throwable) {
                run.ended.countDown()
                val stopped = run.cancelled || throwable is CancellationException
                channel.close(if (stopped) null else engineException("answer", delegate, throwable))
            }
        }
        try {
            conversation.native.sendMessageAsync(text = prompt.message, callback = callback)
        } catch (error: Exception) {
            // Nothing has begun, so nobody will tell of its end.
            run.ended.countDown()
            throw engineException("answer", delegate, error)
        }
        awaitClose { stop(run) }
    }
        // The library calls from its own thread and does not wait: no chunk may be dropped.
        .buffer(Channel.UNLIMITED)
        .flowOn(Dispatchers.IO)

    override fun cancel() {
        running?.let(::stop)
    }

    /** LiteRT-LM's Kotlin API has no tokenizer. */
    override fun countTokens(text: String): Int? = null

    /** What a native thread does not let go of within a minute is not freed: it still uses it. */
    override fun close() {
        free()
    }

    private fun free(): Boolean {
        running?.let { run ->
            stop(run)
            if (!run.ended.await(LONGEST_STEP_S, TimeUnit.SECONDS)) return false
        }
        running = null
        synchronized(lock) {
            held?.native?.close()
            held = null
            open?.native?.close()
            open = null
        }
        return true
    }

    private fun opened(): Open = synchronized(lock) { open }
        ?: throw EngineException(FailureKind.MISSING, "no bundle is open", "choose a bundle")

    private fun stop(run: Running) {
        if (run.ended.count == 0L) return
        run.cancelled = true
        if (run.native.isAlive) run.native.cancelProcess()
    }

    /** Goes on with the conversation that is held if it is the same; else starts one anew. */
    private fun conversationFor(prompt: Prompt, sampler: SamplerSettings): Held =
        synchronized(lock) {
            held?.let { before ->
                val same = before.content == Content(prompt.system, sampler, prompt.history)
                before.content = null
                if (same) return before
                held = null
                before.native.close()
            }
            val native = opened().native.createConversation(
                ConversationConfig(
                    systemInstruction = prompt.system.ifBlank { null }?.let(Contents::of),
                    initialMessages = prompt.history.map { it.toMessage() },
                    samplerConfig = sampler.toNative(),
                ),
            )
            Held(native).also { held = it }
        }

    private fun Turn.toMessage(): Message = when (role) {
        Role.USER -> Message.user(text)
        Role.MODEL -> Message.model(text)
    }

    private companion object {
        // A prefill of a long prompt on a slow phone is one step, and is not cut short.
        const val LONGEST_STEP_S = 60L
    }
}
