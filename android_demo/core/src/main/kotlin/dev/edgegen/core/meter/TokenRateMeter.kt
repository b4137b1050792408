package dev.edgegen.core.meter

import kotlinx.serialization.Serializable

/**
 * How fast an answer came.
 *
 * @property ttftMs from handing over the prompt to the first token; `null` before it.
 * @property tokens of the answer so far.
 * @property tokensPerS rate of the tokens after the first; `null` before there are two.
 */
@Serializable
data class TokenRates(
    val ttftMs: Double? = null,
    val tokens: Int = 0,
    val tokensPerS: Double? = null,
)

/**
 * Counts the tokens of one answer. A value: each token makes a new one.
 *
 * Tokens that come in the first burst count with the first: they have no time of their own, so
 * the rate is that of the tokens after the first burst.
 */
data class TokenRateMeter(
    private val startedNs: Long,
    private val firstNs: Long? = null,
    private val firstTokens: Int = 0,
    private val lastNs: Long = startedNs,
    private val tokens: Int = 0,
) {
    /** Returns the meter after [count] more tokens at [atNs], of the clock of the start. */
    fun onTokens(count: Int, atNs: Long): TokenRateMeter {
        require(count >= 0) { "count ($count) must not be negative" }
        if (count == 0) return this
        // A clock that goes back would make negative rates.
        val now = maxOf(atNs, lastNs)
        return copy(
            firstNs = firstNs ?: now,
            firstTokens = if (firstNs == null) count else firstTokens,
            lastNs = now,
            tokens = tokens + count,
        )
    }

    /** What it measured so far. */
    val rates: TokenRates
        get() {
            val first = firstNs ?: return TokenRates()
            val later = tokens - firstTokens
            val seconds = (lastNs - first) / 1e9
            return TokenRates(
                ttftMs = (first - startedNs) / 1e6,
                tokens = tokens,
                tokensPerS = if (later > 0 && seconds > 0) later / seconds else null,
            )
        }
}
