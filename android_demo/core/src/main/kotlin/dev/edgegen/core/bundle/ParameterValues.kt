package dev.edgegen.core.bundle

// Which values generation parameters may have, the same as in edgegen.bundle.parameter_values.
internal const val MAX_TEXT = 256 * 1024
internal const val MAX_ITEMS = 256
internal const val MAX_ID: Long = Int.MAX_VALUE.toLong()
internal const val MAX_TEMPERATURE = 100.0

internal fun checkedText(name: String, value: Any?): String {
    if (value !is String) damaged("$name is no text")
    if (value.codePointCount(0, value.length) > MAX_TEXT) damaged("$name is too long")
    // Half a character cannot be written.
    if (!Charsets.UTF_8.newEncoder().canEncode(value)) damaged("$name holds half a character")
    return value
}

internal fun checkedTexts(name: String, value: Any?): List<String> =
    if (value is String) {
        listOf(checkedText(name, value))
    } else {
        checkedList(name, value).map { checkedText(name, it) }
    }

internal fun checkedList(name: String, value: Any?): List<*> {
    if (value !is List<*>) damaged("$name is no list")
    if (value.size > MAX_ITEMS) damaged("$name has ${value.size} entries")
    return value
}

internal fun checkedTable(name: String, value: Any?): Map<String, String> {
    if (value !is Map<*, *> || value.size > MAX_ITEMS) damaged("$name is no object, or too large")
    return value.entries.associate { (key, text) ->
        checkedText(name, key) to checkedText(name, text)
    }
}

internal fun checkedFlag(name: String, value: Any?): Boolean =
    value as? Boolean ?: damaged("$name is neither true nor false")

internal fun checkedWhole(name: String, value: Any?, least: Long): Int {
    val whole = (value as? JsonNumber)?.whole ?: damaged("$name is no whole number")
    if (whole !in least..MAX_ID) damaged("$name is out of range")
    return whole.toInt()
}

internal fun checkedReal(name: String, value: Any?, most: Double): Double {
    val real = (value as? JsonNumber)?.real ?: damaged("$name is no number")
    if (real.isNaN() || real !in 0.0..most) damaged("$name is out of range")
    // Minus zero is zero.
    return real + 0.0
}
