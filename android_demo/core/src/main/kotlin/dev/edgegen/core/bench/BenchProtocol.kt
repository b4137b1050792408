package dev.edgegen.core.bench

import dev.edgegen.core.engine.Activations
import dev.edgegen.core.engine.Delegate
import dev.edgegen.core.engine.FailureKind
import kotlinx.serialization.SerialName
import kotlinx.serialization.Serializable
import kotlinx.serialization.SerializationException
import kotlinx.serialization.json.Json
import kotlinx.serialization.json.JsonPrimitive
import kotlinx.serialization.json.contentOrNull
import kotlinx.serialization.json.jsonObject

/** What `edgegen bench --runner app` and this app speak: `docs/reference/app-runner.md`. */
const val PROTOCOL: String = "edgegen.app-runner/1"

/** Tag of the lines of progress in Android's log. */
const val PROGRESS_TAG: String = "edgegen.bench"

/** Action of the intent that starts a run; its extra [REQUEST_EXTRA] names the request. */
const val BENCH_ACTION: String = "dev.edgegen.action.BENCH"
const val REQUEST_EXTRA: String = "request"

// What is not said is left out or null; nothing is filled in.
internal val wire = Json {
    ignoreUnknownKeys = true
    encodeDefaults = true
}

/** A request cannot be carried out; [failure] says why. */
class BadRequestException(val failure: Failure) : Exception(failure.message)

/**
 * One run, as `request.json` has it.
 *
 * @property bundle path of the bundle in the app's data folder.
 * @property cpuMask CPUs to pin the measuring threads to.
 * @property cold whether to remove what the engine prepared, first.
 */
@Serializable
data class BenchRequest(
    val protocol: String,
    val id: String,
    val bundle: String,
    @SerialName("prefill_tokens") val prefillTokens: Int,
    @SerialName("decode_tokens") val decodeTokens: Int,
    val depth: Int = 0,
    val delegate: Delegate = Delegate.CPU,
    val threads: Int? = null,
    val activations: Activations? = null,
    @SerialName("cpu_mask") val cpuMask: Long? = null,
    val cold: Boolean = false,
    @SerialName("timeout_s") val timeoutS: Double = 600.0,
    @SerialName("sample_interval_s") val sampleIntervalS: Double = 0.1,
) {
    private fun problem(name: String): String? = when {
        id != name -> "it is of the request '$id', expected '$name'"
        prefillTokens !in 0..MOST_TOKENS -> "prefill_tokens is $prefillTokens"
        decodeTokens !in 0..MOST_TOKENS -> "decode_tokens is $decodeTokens"
        prefillTokens + decodeTokens == 0 -> "it asks for no tokens"
        depth !in 0..MOST_TOKENS -> "depth is $depth"
        threads != null && threads !in 1..MOST_THREADS -> "threads is $threads"
        cpuMask != null && cpuMask == 0L -> "cpu_mask names no CPU"
        !(timeoutS > 0 && timeoutS <= MOST_SECONDS) -> "timeout_s is $timeoutS"
        !(sampleIntervalS > 0 && sampleIntervalS <= MOST_SECONDS) ->
            "sample_interval_s is $sampleIntervalS"
        else -> null
    }

    companion object {
        private const val MOST_TOKENS = 1_000_000
        private const val MOST_THREADS = 1024
        private const val MOST_SECONDS = 86_400.0

        /**
         * Reads a request.
         *
         * @param name of its folder.
         * @throws BadRequestException it is none, of another version, or asks for what cannot be.
         */
        fun parse(text: String, name: String): BenchRequest {
            val found = try {
                val spoken = wire.parseToJsonElement(text).jsonObject["protocol"]
                val version = (spoken as? JsonPrimitive)?.contentOrNull
                if (version != PROTOCOL) {
                    throw bad(
                        "the request speaks '${version?.take(MOST_SHOWN)}', expected '$PROTOCOL'",
                        "install the app of the same version as edgegen",
                    )
                }
                wire.decodeFromString<BenchRequest>(text)
            } catch (error: SerializationException) {
                throw unreadable(error)
            } catch (error: IllegalArgumentException) {
                throw unreadable(error)
            }
            found.problem(name)?.let { throw bad("the request cannot be: $it", CONTRACT) }
            return found
        }

        private fun unreadable(error: Exception): BadRequestException {
            val why = error.message.orEmpty().lineSequence().first().take(MOST_SHOWN)
            return bad("the request cannot be read: $why", CONTRACT)
        }

        internal fun bad(message: String, hint: String): BadRequestException =
            BadRequestException(Failure(FailureKind.REFUSED, message, hint))

        private const val MOST_SHOWN = 200
        internal const val CONTRACT = "docs/reference/app-runner.md says what it must be"
    }
}

/** One run, as `result.json` has it; its parts are those of [Record]. */
@Serializable
data class BenchResult(
    val protocol: String,
    val id: String,
    @SerialName("wall_s") val wallS: Double? = null,
    val metrics: Metrics? = null,
    val failure: Failure? = null,
    val memory: Memory = Memory(),
    val delegations: List<DelegationFacts> = emptyList(),
    @SerialName("gpu_adapter") val gpuAdapter: String? = null,
    val series: String = "",
    val missing: Map<String, String> = emptyMap(),
    val log: String = "",
) {
    /** Returns the text of `result.json`. */
    fun encode(): String = wire.encodeToString(this)
}

/** Where a run is. */
@Serializable
enum class ProgressState {
    @SerialName("started")
    STARTED,

    @SerialName("opening")
    OPENING,

    @SerialName("prefill")
    PREFILL,

    @SerialName("decode")
    DECODE,

    @SerialName("done")
    DONE,

    @SerialName("failed")
    FAILED,
}

/** A line of progress; [pid] is told with `started`. */
@Serializable
data class Progress(val id: String, val state: ProgressState, val pid: Int? = null) {
    fun encode(): String = wire.encodeToString(this)
}

/** Takes lines of progress; in the app, Android's log at level I under [PROGRESS_TAG]. */
fun interface ProgressSink {
    fun line(text: String)
}
