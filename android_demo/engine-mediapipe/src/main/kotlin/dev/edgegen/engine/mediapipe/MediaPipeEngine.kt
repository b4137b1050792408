package dev.edgegen.engine.mediapipe

import android.content.Context
import com.google.mediapipe.tasks.genai.llminference.LlmInference
import com.google.mediapipe.tasks.genai.llminference.LlmInference.LlmInferenceOptions
import com.google.mediapipe.tasks.genai.llminference.LlmInferenceSession
import com.google.mediapipe.tasks.genai.llminference.ProgressListener
import dev.edgegen.core.bundle.BundleException
import dev.edgegen.core.bundle.BundleReader
import dev.edgegen.core.bundle.GenerationParameters
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

/**
 * MediaPipe's LLM Inference API, for `.task`. Its authors keep it as it is and point to LiteRT-LM;
 * it is here for apps that still ship it.
 *
 * The library keeps its prepared weights in the app's cache folder, wherever the configuration
 * says, and chooses threads and precision itself.
 */
class MediaPipeEngine(context: Context) : Engine {
    override val name: String = NAME

    private val context: Context = context.applicationContext
    private val lock = Any()
    private var open: Open? = null
    private var held: Held? = null

    @Volatile private var running: Running? = null

    private class Open(
        val native: LlmInference,
        val config: EngineConfig,
        val parameters: GenerationParameters,
    )

    /** A session; [content] is `null` while nobody knows what it has seen. */
    private class Held(val native: LlmInferenceSession) {
        @Volatile var content: Content? = null
    }

    private data class Content(
        val system: String,
        val sampler: SamplerSettings,
        val turns: List<Turn>,
    )

    private class Running(val native: LlmInferenceSession) {
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
        refuse(config)
        val parameters = try {
            BundleReader.read(config.bundle).parameters
        } catch (error: BundleException) {
            throw EngineException(FailureKind.REFUSED, error.message, error.hint, error)
        }
        val options = LlmInferenceOptions.builder()
            .setModelPath(config.bundle.path)
            .setMaxTopK(MOST_TOP_K)
            .setPreferredBackend(config.delegate.toNative())
        config.maxTokens?.let(options::setMaxTokens)
        val started = System.nanoTime()
        val native = try {
            LlmInference.createFromOptions(context, options.build())
        } catch (error: Exception) {
            throw failure("open ${config.bundle.name}", config.delegate, error)
        } catch (error: UnsatisfiedLinkError) {
            throw failure("start", config.delegate, error)
        }
        val initMs = (System.nanoTime() - started) / 1e6
        synchronized(lock) { open = Open(native, config, parameters) }
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
        val opened = opened()
        val delegate = opened.config.delegate
        val session = try {
            sessionFor(opened, prompt, sampler)
        } catch (error: Exception) {
            throw failure("take the prompt", delegate, error)
        }
        val run = Running(session.native)
        val answer = StringBuilder()
        var chunks = 0
        running = run
        val listener = ProgressListener<String> { partial, _ ->
            if (partial.isNotEmpty()) {
                answer.append(partial)
                chunks += 1
                trySend(Chunk(partial))
            }
        }
        val future = try {
            session.native.generateResponseAsync(listener)
        } catch (error: Exception) {
            // Nothing has begun, so nobody will tell of its end.
            run.ended.countDown()
            throw failure("answer", delegate, error)
        }
        // Only the future tells of an error; it is done after the last call of the listener.
        val whenDone = Runnable {
            val error = errorOf { future.get() }
            if (error == null && !run.cancelled) {
                val turns = prompt.history + Turn(Role.USER, prompt.message) +
                    Turn(Role.MODEL, answer.toString())
                session.content = Content(prompt.system, sampler, turns)
            }
            // On a GPU one call may bring several tokens; what was not counted is told at the end.
            val tokens = runCatching { session.native.sizeInTokens(answer.toString()) }
            val uncounted = (tokens.getOrNull() ?: chunks) - chunks
            if (uncounted > 0) trySend(Chunk("", uncounted))
            run.ended.countDown()
            val failed = error != null && !run.cancelled
            channel.close(if (failed) failure("answer", delegate, error) else null)
        }
        future.addListener(whenDone) { it.run() }
        awaitClose { stop(run) }
    }
        // The library calls from its own thread and does not wait: no chunk may be dropped.
        .buffer(Channel.UNLIMITED)
        .flowOn(Dispatchers.IO)

    override fun cancel() {
        running?.let(::stop)
    }

    /** Counts with the bundle's tokenizer, which a session lends while it does not answer. */
    override fun countTokens(text: String): Int? {
        val run = running
        if (run != null && run.ended.count > 0) return null
        return synchronized(lock) {
            held?.let { runCatching { it.native.sizeInTokens(text) }.getOrNull() }
        }
    }

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
        run.native.cancelGenerateResponseAsync()
    }

    /** Returns a session that has been given the prompt. */
    private fun sessionFor(opened: Open, prompt: Prompt, sampler: SamplerSettings): Held =
        synchronized(lock) {
            held?.let { before ->
                val same = before.content == Content(prompt.system, sampler, prompt.history)
                before.content = null
                if (same) {
                    before.native.addQueryChunk(opened.parameters.continuationOf(prompt))
                    return before
                }
                held = null
                before.native.close()
            }
            val options = sampler.toNative()
            val native = LlmInferenceSession.createFromOptions(opened.native, options)
            Held(native).also {
                held = it
                native.addQueryChunk(opened.parameters.textOf(prompt))
            }
        }

    private companion object {
        const val LONGEST_STEP_S = 60L
    }
}
