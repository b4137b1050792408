package dev.edgegen.core.bench

import dev.edgegen.core.engine.EngineConfig
import dev.edgegen.core.engine.Measurement
import dev.edgegen.core.engine.MeasuringEngine
import dev.edgegen.core.engine.MeasuringStep
import dev.edgegen.core.engine.Workload
import kotlinx.serialization.json.JsonObject
import kotlinx.serialization.json.JsonPrimitive

internal class Probe(private val state: DeviceState = DeviceState()) : DeviceProbe {
    override fun state(): DeviceState = state

    override fun description() = JsonObject(mapOf("model" to JsonPrimitive("test")))
}

internal class Engine(
    private val run: suspend (EngineConfig, Workload) -> Measurement,
) : MeasuringEngine {
    override val name = "test engine"
    val configs = mutableListOf<EngineConfig>()

    override suspend fun measure(
        config: EngineConfig,
        workload: Workload,
        onStep: (MeasuringStep) -> Unit,
    ): Measurement {
        configs += config
        MeasuringStep.entries.forEach(onStep)
        return run(config, workload)
    }

    override fun cancel() = Unit

    override fun close() = Unit
}

internal fun told(workload: Workload) = Measurement(
    initMs = 100.0,
    ttftMs = Double.NaN,
    prefillTokens = workload.prefillTokens,
    prefillTokensPerS = 400.5,
    decodeTokens = workload.decodeTokens,
    decodeTokensPerS = 20.25,
    initPhasesMs = mapOf("tokenizer" to 3.0, "odd" to Double.POSITIVE_INFINITY),
    gpuAdapter = "Adreno",
    log = "said",
)
