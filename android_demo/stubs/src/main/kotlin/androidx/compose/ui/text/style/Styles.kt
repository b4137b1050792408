package androidx.compose.ui.text.style

@JvmInline
value class TextAlign internal constructor(internal val value: Int) {
    companion object {
        val Center: TextAlign get() = TODO()
        val Start: TextAlign get() = TODO()
        val End: TextAlign get() = TODO()
    }
}

@JvmInline
value class TextOverflow internal constructor(internal val value: Int) {
    companion object {
        val Clip: TextOverflow get() = TODO()
        val Ellipsis: TextOverflow get() = TODO()
    }
}

class TextDecoration
