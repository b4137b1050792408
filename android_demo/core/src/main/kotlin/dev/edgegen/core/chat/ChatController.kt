package dev.edgegen.core.chat

import dev.edgegen.core.engine.Delegate
import dev.edgegen.core.engine.Engine
import dev.edgegen.core.engine.EngineConfig
import dev.edgegen.core.engine.EngineException
import dev.edgegen.core.engine.EngineFactory
import dev.edgegen.core.engine.EngineInfo
import dev.edgegen.core.engine.FailureKind
import kotlinx.coroutines.CancellationException
import kotlinx.coroutines.CoroutineDispatcher
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.Job
import kotlinx.coroutines.channels.Channel
import kotlinx.coroutines.coroutineScope
import kotlinx.coroutines.flow.MutableStateFlow
import kotlinx.coroutines.flow.StateFlow
import kotlinx.coroutines.flow.asStateFlow
import kotlinx.coroutines.launch
import kotlinx.coroutines.withTimeoutOrNull

/** Finds how to open what the user chose; throws [EngineException] if it is gone. */
fun interface ConfigSource {
    suspend fun configOf(choice: ModelChoice): EngineConfig
}

/**
 * Feeds events to the rules and carries out what they ask for. A ViewModel holds one.
 *
 * @param scope lives as long as the engine may; when it ends, the engine is freed.
 * @param dispatcher where engines are called.
 * @param patienceMs how long an engine that was told to end an answer may take, before its flow is
 *   cancelled.
 */
class ChatController(
    private val engines: EngineFactory,
    private val configs: ConfigSource,
    private val scope: CoroutineScope,
    start: ChatState = ChatState(),
    private val dispatcher: CoroutineDispatcher = Dispatchers.Default,
    private val patienceMs: Long = 10_000,
    private val clockNs: () -> Long = System::nanoTime,
) {
    private val shown = MutableStateFlow(start)
    private val effects = Channel<ChatEffect>(Channel.UNLIMITED)
    private val lock = Any()

    @Volatile private var engine: Engine? = null

    // The last generation that was told to end; it may not have begun yet.
    @Volatile private var cancelledId = -1L
    private var running: Pair<Long, Job>? = null

    /** What the screen shows. */
    val state: StateFlow<ChatState> = shown.asStateFlow()

    init {
        scope.launch(dispatcher) {
            try {
                for (effect in effects) carryOut(effect)
            } finally {
                close()
            }
        }
    }

    /** Takes an event; callable from any thread, returns at once. */
    fun dispatch(event: ChatEvent) {
        synchronized(lock) {
            val step = reduce(shown.value, event, clockNs())
            shown.value = step.state
            for (effect in step.effects) {
                // The one effect that cannot wait for those before it.
                if (effect is ChatEffect.Cancel) cancel(effect.generationId)
                else effects.trySend(effect)
            }
        }
    }

    /**
     * Counts tokens by the open engine; `null` where nothing is open, it does not tell, or it is
     * busy.
     */
    fun countTokens(text: String): Int? =
        if (shown.value.isBusy) null else engine?.countTokens(text)

    private suspend fun carryOut(effect: ChatEffect) {
        when (effect) {
            is ChatEffect.Load -> dispatch(load(effect))
            is ChatEffect.Generate -> dispatch(generate(effect))
            is ChatEffect.Unload -> close()
            is ChatEffect.Cancel -> Unit
        }
    }

    private suspend fun load(effect: ChatEffect.Load): ChatEvent = try {
        close()
        val config = configs.configOf(effect.choice)
        val opened = engines.create(config.bundle).also { engine = it }
        val (info, fallback) = loadWithFallback(opened, config)
        ChatEvent.Loaded(effect.loadId, info, fallback)
    } catch (error: CancellationException) {
        throw error
    } catch (error: Throwable) {
        close()
        ChatEvent.LoadFailed(effect.loadId, wordsFor(error))
    }

    /** Opens on the CPU what the GPU cannot run, and says so. */
    private suspend fun loadWithFallback(
        opened: Engine,
        config: EngineConfig,
    ): Pair<EngineInfo, String?> = try {
        opened.load(config) to null
    } catch (error: EngineException) {
        if (config.delegate != Delegate.GPU || error.kind !in GPU_FAILURES) throw error
        opened.load(config.copy(delegate = Delegate.CPU)) to error.message
    }

    private suspend fun generate(effect: ChatEffect.Generate): ChatEvent = coroutineScope {
        val id = effect.generationId
        var failure: Throwable? = null
        val job = launch {
            try {
                collect(effect)
            } catch (error: CancellationException) {
                throw error
            } catch (error: Throwable) {
                failure = error
            }
        }
        synchronized(lock) { running = id to job }
        if (cancelledId >= id) cancel(id)
        job.join()
        synchronized(lock) { running = null }
        failure?.let { ChatEvent.Failed(id, wordsFor(it)) } ?: ChatEvent.Ended(id)
    }

    private suspend fun collect(effect: ChatEffect.Generate) {
        val id = effect.generationId
        if (cancelledId >= id) return
        val opened = engine
            ?: throw EngineException(FailureKind.NO_RESULT, "no model is open", "open it again")
        opened.generate(effect.prompt, effect.sampler).collect { chunk ->
            // It was told to end before it had begun, and knew nothing of it.
            if (cancelledId >= id) opened.cancel()
            dispatch(ChatEvent.Token(id, chunk.text, chunk.tokens, clockNs()))
        }
    }

    private fun cancel(generationId: Long) {
        cancelledId = maxOf(cancelledId, generationId)
        val (id, job) = synchronized(lock) { running } ?: return
        if (id != generationId) return
        engine?.cancel()
        scope.launch(dispatcher) {
            withTimeoutOrNull(patienceMs) { job.join() } ?: job.cancel()
        }
    }

    private fun close() {
        engine?.close()
        engine = null
    }

    private companion object {
        // Where trying on the CPU can help; a bundle that is missing is missing there, too.
        val GPU_FAILURES = setOf(
            FailureKind.REFUSED,
            FailureKind.NOT_ON_GPU,
            FailureKind.UNSUPPORTED,
            FailureKind.CRASHED,
        )
    }
}

/** Returns what to tell a user of an error. */
internal fun wordsFor(error: Throwable): UserError = when (error) {
    is EngineException -> UserError(error.message, error.hint)
    is OutOfMemoryError -> UserError(
        "There is not enough memory.",
        "Close other apps, or take a smaller model.",
    )
    is LinkageError -> UserError(
        "A library of the engine cannot be loaded: ${error.message}",
        "The engine may not be built for this device's processor.",
    )
    else -> UserError("${error::class.simpleName}: ${error.message ?: "no message"}")
}
