package androidx.compose.ui.text.font

import androidx.compose.runtime.Immutable

@Immutable
sealed class FontFamily {
    companion object {
        val Monospace: GenericFontFamily get() = TODO()
    }
}

class GenericFontFamily internal constructor() : FontFamily()

@Immutable
class FontWeight(val weight: Int) {
    companion object {
        val Medium: FontWeight get() = TODO()
        val SemiBold: FontWeight get() = TODO()
    }
}

@JvmInline
value class FontStyle(val value: Int)
