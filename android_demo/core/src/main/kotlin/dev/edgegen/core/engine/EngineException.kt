package dev.edgegen.core.engine

import kotlinx.serialization.SerialName
import kotlinx.serialization.Serializable

/** What sort of failure: the words of `edgegen.bench` records. */
@Serializable
enum class FailureKind {
    @SerialName("refused")
    REFUSED,

    @SerialName("crashed")
    CRASHED,

    @SerialName("out_of_memory")
    OUT_OF_MEMORY,

    @SerialName("timed_out")
    TIMED_OUT,

    @SerialName("not_on_gpu")
    NOT_ON_GPU,

    @SerialName("wrong_counts")
    WRONG_COUNTS,

    @SerialName("no_result")
    NO_RESULT,

    @SerialName("device_lost")
    DEVICE_LOST,

    @SerialName("too_hot")
    TOO_HOT,

    @SerialName("unsupported")
    UNSUPPORTED,

    @SerialName("missing")
    MISSING,
}

/**
 * An engine cannot do what it was asked.
 *
 * @property kind what sort of failure.
 * @property hint what the user can do; empty if there is nothing.
 */
class EngineException(
    val kind: FailureKind,
    override val message: String,
    val hint: String = "",
    cause: Throwable? = null,
) : Exception(message, cause)
