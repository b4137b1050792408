package dev.edgegen.engine.litertlm

import com.google.ai.edge.litertlm.BenchmarkInfo
import com.google.ai.edge.litertlm.ExperimentalApi
import com.google.ai.edge.litertlm.benchmark
import dev.edgegen.core.engine.EngineConfig
import dev.edgegen.core.engine.EngineException
import dev.edgegen.core.engine.FailureKind
import dev.edgegen.core.engine.Measurement
import dev.edgegen.core.engine.MeasuringEngine
import dev.edgegen.core.engine.MeasuringStep
import dev.edgegen.core.engine.Workload
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Deferred
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.SupervisorJob
import kotlinx.coroutines.async

/**
 * LiteRT-LM's own benchmark, which times prefill and decode inside the engine.
 *
 * It is one blocking call that cannot be cut short. A measurement that is cancelled returns at
 * once, and the next one waits until the call of the former has ended.
 */
class LiteRtLmBenchmark : MeasuringEngine {
    override val name: String = NAME

    @Volatile private var mine: Deferred<Measurement>? = null

    override suspend fun measure(
        config: EngineConfig,
        workload: Workload,
        onStep: (MeasuringStep) -> Unit,
    ): Measurement {
        refuse(config, workload)
        last?.join()
        onStep(MeasuringStep.OPENING)
        val measuring = scope.async { measureNow(config, workload) }
        last = measuring
        mine = measuring
        return measuring.await()
    }

    override fun cancel() {
        mine?.cancel()
    }

    override fun close() {
        cancel()
    }

    @OptIn(ExperimentalApi::class)
    private fun measureNow(config: EngineConfig, workload: Workload): Measurement = try {
        benchmark(
            modelPath = config.bundle.path,
            backend = config.backend(),
            // It wants at least one token of either.
            prefillTokens = workload.prefillTokens.coerceAtLeast(1),
            decodeTokens = workload.decodeTokens.coerceAtLeast(1),
            cacheDir = config.cachePath(),
        ).toMeasurement(workload)
    } catch (error: Exception) {
        throw engineException("measure ${config.bundle.name}", config.delegate, error)
    } catch (error: UnsatisfiedLinkError) {
        throw engineException("start", config.delegate, error)
    }

    private fun refuse(config: EngineConfig, workload: Workload) {
        config.refuseActivations()
        if (workload.depth > 0) {
            throw EngineException(
                FailureKind.UNSUPPORTED,
                "$NAME's benchmark starts with an empty KV cache, " +
                    "and was asked for depth ${workload.depth}",
                "leave the depth out",
            )
        }
        if (config.threads != null) {
            throw EngineException(
                FailureKind.UNSUPPORTED,
                "$NAME's benchmark chooses its CPU threads itself; asked for ${config.threads}",
                "leave threads unset, or use --runner litert-lm",
            )
        }
    }

    private companion object {
        // Of the process, as the native code is: two calls at a time would measure each other.
        val scope = CoroutineScope(SupervisorJob() + Dispatchers.IO)

        @Volatile var last: Deferred<Measurement>? = null
    }
}

/** Zero is how the library says that it has no value. */
private fun BenchmarkInfo.toMeasurement(workload: Workload): Measurement {
    val prefill = workload.prefillTokens > 0
    val decode = workload.decodeTokens > 0
    return Measurement(
        initMs = (initTimeInSecond * 1e3).orNull(),
        ttftMs = if (prefill) (timeToFirstTokenInSecond * 1e3).orNull() else null,
        prefillTokens = if (prefill) lastPrefillTokenCount.takeIf { it > 0 } else null,
        prefillTokensPerS = if (prefill) lastPrefillTokensPerSecond.orNull() else null,
        decodeTokens = if (decode) lastDecodeTokenCount.takeIf { it > 0 } else null,
        decodeTokensPerS = if (decode) lastDecodeTokensPerSecond.orNull() else null,
    )
}

private fun Double.orNull(): Double? = takeIf { it > 0 && it.isFinite() }
