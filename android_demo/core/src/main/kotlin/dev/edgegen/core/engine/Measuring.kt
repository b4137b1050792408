package dev.edgegen.core.engine

import java.io.File

/**
 * What to compute, once.
 *
 * @property prefillTokens prompt length; 0 if prefill is not measured.
 * @property decodeTokens tokens to generate; 0 if decode is not measured.
 * @property depth tokens that the KV cache holds before.
 */
data class Workload(val prefillTokens: Int, val decodeTokens: Int, val depth: Int = 0)

/**
 * What an engine told of one measurement; what it did not tell is `null`.
 *
 * @property initMs from opening the bundle to a session that is ready.
 * @property ttftMs time to first token.
 * @property prefillTokens tokens of the prompt that were really run.
 * @property decodeTokens tokens that were really generated.
 * @property initPhasesMs parts of the initialization, by the engine's names.
 * @property gpuAdapter the GPU by the name of its driver.
 * @property log what the engine wrote.
 */
data class Measurement(
    val initMs: Double? = null,
    val ttftMs: Double? = null,
    val prefillTokens: Int? = null,
    val prefillTokensPerS: Double? = null,
    val decodeTokens: Int? = null,
    val decodeTokensPerS: Double? = null,
    val initPhasesMs: Map<String, Double> = emptyMap(),
    val gpuAdapter: String? = null,
    val log: String = "",
)

/** Where a measurement is. */
enum class MeasuringStep {
    OPENING,
    PREFILL,
    DECODE,
}

/** An engine that can measure itself with given numbers of tokens. */
interface MeasuringEngine : AutoCloseable {
    /** What records call it. */
    val name: String

    /**
     * Opens the bundle, runs the workload once and frees all again.
     *
     * @param onStep is told where it is, as far as the engine tells.
     * @throws EngineException if the engine refuses, or cannot run such a workload
     *   ([FailureKind.UNSUPPORTED]).
     */
    suspend fun measure(
        config: EngineConfig,
        workload: Workload,
        onStep: (MeasuringStep) -> Unit,
    ): Measurement

    /** Makes the measurement that runs end soon. */
    fun cancel()

    override fun close()
}

/** Makes measuring engines, for a bundle by its name. */
fun interface MeasuringEngineFactory {
    /** @throws EngineException if no engine opens such a file. */
    fun create(bundle: File): MeasuringEngine
}
