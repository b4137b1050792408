package dev.edgegen.core.meter

/** How much room a conversation has left. */
enum class ContextLevel {
    ROOM,
    NEARLY_FULL,
    FULL,
}

/**
 * How much of the KV cache a conversation takes.
 *
 * @property used tokens.
 * @property capacity tokens that fit; `null` where unknown.
 * @property estimated whether [used] is a guess from the texts' length.
 */
data class ContextUse(val used: Int, val capacity: Int?, val estimated: Boolean) {
    /** Share of the capacity, 0 to 1; `null` where it is unknown. */
    val fraction: Float?
        get() = capacity?.let { (used.toFloat() / it).coerceIn(0f, 1f) }

    val level: ContextLevel
        get() = when {
            capacity == null || used < capacity * NEARLY -> ContextLevel.ROOM
            used < capacity -> ContextLevel.NEARLY_FULL
            else -> ContextLevel.FULL
        }

    private companion object {
        const val NEARLY = 0.9
    }
}

/** Tells how many tokens texts take: by the engine where it counts, else by their length. */
class ContextMeter(private val capacity: Int?, private val count: (String) -> Int?) {
    private val known = object : LinkedHashMap<String, Int>(16, 0.75f, true) {
        override fun removeEldestEntry(eldest: Map.Entry<String, Int>): Boolean = size > KEPT
    }

    /** Returns the use of a conversation's texts; the last one may still grow. */
    @Synchronized
    fun of(texts: List<String>): ContextUse {
        var used = 0
        var estimated = false
        for ((i, text) in texts.withIndex()) {
            val counted = known[text] ?: count(text)
            if (counted == null) {
                estimated = true
                used += estimate(text)
            } else {
                // What still grows is another text at each token, and would push the others out.
                if (i < texts.lastIndex) known[text] = counted
                used += counted
            }
            used += PER_TURN
        }
        return ContextUse(used, capacity, estimated)
    }

    companion object {
        private const val KEPT = 256

        /** Tokens that a prompt template puts around each message, about. */
        const val PER_TURN: Int = 4
        private const val CHARACTERS_PER_TOKEN = 3.5

        /** Guesses tokens from a text's length: English takes four characters each, code fewer. */
        fun estimate(text: String): Int =
            kotlin.math.ceil(text.codePointCount(0, text.length) / CHARACTERS_PER_TOKEN).toInt()
    }
}
