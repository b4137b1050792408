package dev.edgegen.core.bench

import dev.edgegen.core.engine.EngineConfig
import dev.edgegen.core.engine.EngineException
import dev.edgegen.core.engine.FailureKind
import dev.edgegen.core.engine.Measurement
import dev.edgegen.core.engine.MeasuringEngine
import dev.edgegen.core.engine.MeasuringEngineFactory
import dev.edgegen.core.engine.MeasuringStep
import dev.edgegen.core.engine.Workload
import kotlinx.coroutines.CancellationException
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.SupervisorJob
import kotlinx.coroutines.async
import kotlinx.coroutines.cancel
import kotlinx.coroutines.launch
import kotlinx.coroutines.withTimeoutOrNull

/** What became of one measurement; exactly one of [metrics] and [failure] is there. */
internal class MeasuredRun(
    val wallS: Double,
    val engine: String?,
    val metrics: Metrics?,
    val failure: Failure?,
    val samples: Samples,
    val gpuAdapter: String?,
    val log: String,
)

/** Measures once, whatever the engine does. Only cancelling the caller gets out of here. */
internal suspend fun measureOnce(
    engines: MeasuringEngineFactory,
    config: EngineConfig,
    workload: Workload,
    timeoutS: Double,
    sampler: ProcessSampler,
    onStep: (MeasuringStep) -> Unit,
): MeasuredRun {
    // Not a child of the caller: native code may not be cut short, and nobody waits for it then.
    val scope = CoroutineScope(Dispatchers.Default + SupervisorJob())
    val startedNs = System.nanoTime()
    var engine: MeasuringEngine? = null
    var told: Measurement? = null
    var failure: Failure? = null
    sampler.start()
    try {
        engine = engines.create(config.bundle)
        val opened = engine
        val measuring = scope.async { opened.measure(config, workload, onStep) }
        told = withTimeoutOrNull((timeoutS * 1e3).toLong()) { measuring.await() }
        if (told == null) {
            failure = timedOut(timeoutS)
        } else if (told.prefillTokensPerS == null && told.decodeTokensPerS == null) {
            failure = Failure(
                FailureKind.NO_RESULT,
                "${engine.name} ended without telling any rate",
                "see its log",
            )
        }
    } catch (error: CancellationException) {
        throw error
    } catch (error: Throwable) {
        failure = failureOf(error)
    } finally {
        engine?.let { end(it, scope) }
    }
    val wallS = (System.nanoTime() - startedNs) / 1e9
    return MeasuredRun(
        wallS = wallS,
        engine = engine?.name,
        metrics = if (failure == null) told?.let(Metrics::of) else null,
        failure = failure,
        samples = sampler.stop(),
        gpuAdapter = told?.gpuAdapter,
        log = told?.log.orEmpty(),
    )
}

private fun end(engine: MeasuringEngine, scope: CoroutineScope) {
    engine.cancel()
    scope.cancel()
    // Closing may wait for native code that does not end.
    CoroutineScope(Dispatchers.Default).launch { engine.close() }
}

private fun timedOut(timeoutS: Double) = Failure(
    FailureKind.TIMED_OUT,
    "the engine was not done after $timeoutS s and was ended",
    "allow more time, or ask for fewer tokens",
)

/** Returns what an exception is in a record. */
internal fun failureOf(error: Throwable): Failure = when (error) {
    is EngineException -> Failure.of(error)
    is BadRequestException -> error.failure
    is OutOfMemoryError -> Failure(
        FailureKind.OUT_OF_MEMORY,
        "there is not enough memory: ${error.message}",
        "take a smaller model, or close other apps",
    )
    else -> Failure(
        FailureKind.CRASHED,
        "${error::class.simpleName}: ${error.message ?: "no message"}",
        "the excerpt belongs into a report",
        error.stackTraceToString().lineSequence().take(EXCERPT_LINES).joinToString("\n"),
    )
}

private const val EXCERPT_LINES = 12
