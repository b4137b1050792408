package dev.edgegen.core.bench

import dev.edgegen.core.engine.Activations
import dev.edgegen.core.engine.Delegate
import dev.edgegen.core.engine.EngineException
import dev.edgegen.core.engine.FailureKind
import dev.edgegen.core.engine.Measurement
import kotlinx.serialization.SerialName
import kotlinx.serialization.Serializable
import kotlinx.serialization.json.JsonObject

/** The schema of [Record]: `edgegen/device/bench/record.py` describes each field. */
const val RECORD_SCHEMA: String = "edgegen.bench/2"

@Serializable
enum class Phase {
    @SerialName("cold")
    COLD,

    @SerialName("warmup")
    WARMUP,

    @SerialName("kept")
    KEPT,
}

/** Why a run has no result. */
@Serializable
data class Failure(
    val kind: FailureKind,
    val message: String,
    val hint: String = "",
    val excerpt: String = "",
) {
    companion object {
        /** Returns what an engine's refusal is in a record. */
        fun of(error: EngineException): Failure = Failure(error.kind, error.message, error.hint)
    }
}

@Serializable
data class BundleFacts(
    val name: String,
    val sha256: String,
    @SerialName("size_bytes") val sizeBytes: Long,
    val recipe: String? = null,
    @SerialName("weight_bytes") val weightBytes: Long? = null,
    @SerialName("weight_bytes_per_decode") val weightBytesPerDecode: Long? = null,
    @SerialName("kv_bytes_per_token") val kvBytesPerToken: Long? = null,
    @SerialName("kv_cache_len") val kvCacheLen: Int? = null,
    @SerialName("prefill_lens") val prefillLens: List<Int> = emptyList(),
)

@Serializable
data class EngineFacts(
    val runner: String,
    val name: String,
    val version: String? = null,
    @SerialName("files_sha256") val filesSha256: Map<String, String> = emptyMap(),
    @SerialName("gpu_adapter") val gpuAdapter: String? = null,
)

@Serializable
data class DelegationFacts(
    val delegate: String,
    @SerialName("nodes_delegated") val nodesDelegated: Int,
    @SerialName("nodes_total") val nodesTotal: Int,
    val partitions: Int,
    val signature: String,
)

@Serializable
data class Metrics(
    @SerialName("init_ms") val initMs: Double? = null,
    @SerialName("ttft_ms") val ttftMs: Double? = null,
    @SerialName("prefill_tokens") val prefillTokens: Int? = null,
    @SerialName("prefill_tokens_per_s") val prefillTokensPerS: Double? = null,
    @SerialName("decode_tokens") val decodeTokens: Int? = null,
    @SerialName("decode_tokens_per_s") val decodeTokensPerS: Double? = null,
    @SerialName("init_phases_ms") val initPhasesMs: Map<String, Double> = emptyMap(),
) {
    companion object {
        /** Returns what an engine told; what is no number, JSON cannot hold and nobody measured. */
        fun of(told: Measurement): Metrics = Metrics(
            initMs = told.initMs.ifFinite(),
            ttftMs = told.ttftMs.ifFinite(),
            prefillTokens = told.prefillTokens,
            prefillTokensPerS = told.prefillTokensPerS.ifFinite(),
            decodeTokens = told.decodeTokens,
            decodeTokensPerS = told.decodeTokensPerS.ifFinite(),
            initPhasesMs = told.initPhasesMs.filterValues { it.isFinite() },
        )

        private fun Double?.ifFinite(): Double? = this?.takeIf { it.isFinite() }
    }
}

@Serializable
data class Memory(
    @SerialName("peak_rss_bytes") val peakRssBytes: Long? = null,
    @SerialName("peak_rss_anon_bytes") val peakRssAnonBytes: Long? = null,
    @SerialName("peak_rss_file_bytes") val peakRssFileBytes: Long? = null,
    @SerialName("peak_pss_bytes") val peakPssBytes: Long? = null,
    @SerialName("peak_gpu_bytes") val peakGpuBytes: Long? = null,
    @SerialName("peak_dmabuf_bytes") val peakDmabufBytes: Long? = null,
)

@Serializable
data class Conditions(
    @SerialName("thermal_status_before") val thermalStatusBefore: String? = null,
    @SerialName("thermal_status_after") val thermalStatusAfter: String? = null,
    @SerialName("max_celsius") val maxCelsius: Double? = null,
    @SerialName("start_celsius") val startCelsius: Double? = null,
    @SerialName("waited_s") val waitedS: Double = 0.0,
    @SerialName("cpu_max_khz_capped") val cpuMaxKhzCapped: Boolean? = null,
    @SerialName("battery_percent") val batteryPercent: Double? = null,
    val charging: Boolean? = null,
    @SerialName("screen_on") val screenOn: Boolean? = null,
)

@Serializable
data class Energy(
    val joules: Double,
    @SerialName("joules_per_token") val joulesPerToken: Double?,
    val source: String,
)

/** One run: a row of `records.jsonl`, the same that `edgegen bench` writes. */
@Serializable
data class Record(
    val schema: String,
    @SerialName("run_id") val runId: String,
    val cell: String,
    val index: Int,
    val phase: Phase,
    @SerialName("started_at") val startedAt: String,
    @SerialName("wall_s") val wallS: Double,
    @SerialName("edgegen_version") val edgegenVersion: String,
    val bundle: BundleFacts,
    val engine: EngineFacts,
    val device: JsonObject,
    val workload: String,
    @SerialName("prefill_tokens") val prefillTokens: Int,
    @SerialName("decode_tokens") val decodeTokens: Int,
    val depth: Int,
    @SerialName("prefill_padded_tokens") val prefillPaddedTokens: Int?,
    val delegate: Delegate,
    val threads: Int?,
    val activations: Activations?,
    @SerialName("cpu_mask") val cpuMask: Long?,
    val flags: List<String>,
    val delegations: List<DelegationFacts>,
    val metrics: Metrics?,
    val memory: Memory,
    val conditions: Conditions,
    val energy: Energy?,
    @SerialName("memory_bytes_per_s") val memoryBytesPerS: Double?,
    @SerialName("memory_method") val memoryMethod: String?,
    val missing: Map<String, String>,
    val failure: Failure?,
    val log: String?,
    val series: String?,
)
