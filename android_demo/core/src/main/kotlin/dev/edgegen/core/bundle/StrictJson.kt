package dev.edgegen.core.bundle

/**
 * JSON as the specification has it. kotlinx's reader takes any word for a value, and of two
 * values by one name the last: a bundle could then say two things.
 *
 * Numbers stay text, since their kind matters: see [JsonNumber].
 */
internal class StrictJson private constructor(private val text: String) {
    private var at = 0

    private fun document(): Any? {
        val value = value(0)
        space()
        if (at < text.length) damaged("something stands behind the document")
        return value
    }

    private fun value(depth: Int): Any? {
        if (depth > MAX_DEPTH) damaged("it is nested too deep")
        space()
        return when (val next = peek()) {
            '{' -> objectAt(depth)
            '[' -> listAt(depth)
            '"' -> string()
            't' -> word("true", true)
            'f' -> word("false", false)
            'n' -> word("null", null)
            else -> if (next == '-' || next in '0'..'9') number() else damaged("no value at $at")
        }
    }

    private fun objectAt(depth: Int): Map<String, Any?> {
        val found = LinkedHashMap<String, Any?>()
        at++
        space()
        if (take('}')) return found
        do {
            space()
            if (peek() != '"') damaged("a name was expected at $at")
            val name = string()
            space()
            if (!take(':')) damaged("a colon was expected at $at")
            if (name in found) damaged("a name stands twice in one object")
            found[name] = value(depth + 1)
            space()
        } while (take(','))
        if (!take('}')) damaged("an object has no end")
        return found
    }

    private fun listAt(depth: Int): List<Any?> {
        val found = mutableListOf<Any?>()
        at++
        space()
        if (take(']')) return found
        do {
            found += value(depth + 1)
            space()
        } while (take(','))
        if (!take(']')) damaged("a list has no end")
        return found
    }

    private fun string(): String {
        val found = StringBuilder()
        at++
        while (true) {
            when (val next = next()) {
                '"' -> return found.toString()
                '\\' -> found.append(escaped())
                else -> {
                    if (next < ' ') damaged("a control character in a text")
                    found.append(next)
                }
            }
        }
    }

    private fun escaped(): Char = when (val next = next()) {
        '"', '\\', '/' -> next
        'b' -> '\b'
        'f' -> '\u000c'
        'n' -> '\n'
        'r' -> '\r'
        't' -> '\t'
        'u' -> {
            val digits = text.substring(at, minOf(at + 4, text.length))
            if (!HEX.matches(digits)) damaged("a character's number is none")
            at += 4
            digits.toInt(16).toChar()
        }
        else -> damaged("an unknown escape \\$next")
    }

    private fun number(): JsonNumber {
        val found = NUMBER.matchAt(text, at)?.value ?: damaged("no number at $at")
        at += found.length
        return JsonNumber(found)
    }

    private fun <T> word(word: String, value: T): T {
        if (!text.startsWith(word, at)) damaged("no value at $at")
        at += word.length
        return value
    }

    private fun space() {
        while (at < text.length && text[at] in " \t\r\n") at++
    }

    private fun peek(): Char = if (at < text.length) text[at] else damaged("it is cut off")

    private fun next(): Char = peek().also { at++ }

    private fun take(expected: Char): Boolean =
        (at < text.length && text[at] == expected).also { if (it) at++ }

    companion object {
        private const val MAX_DEPTH = 32
        private val HEX = Regex("[0-9a-fA-F]{4}")
        private val NUMBER = Regex("-?(?:0|[1-9][0-9]*)(?:\\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")

        /** Returns maps, lists, texts, [JsonNumber]s, booleans and `null`. */
        fun parse(text: String): Any? = StrictJson(text).document()
    }
}

/** A number as it was written: `5` is whole, `5.0` is not. */
internal class JsonNumber(private val text: String) {
    val whole: Long? get() = text.toLongOrNull()
    val real: Double get() = text.toDouble()
}
