package androidx.compose.ui.unit

import androidx.compose.runtime.Immutable
import androidx.compose.runtime.Stable

@Immutable
@JvmInline
value class Dp(val value: Float) : Comparable<Dp> {
    override fun compareTo(other: Dp): Int = TODO()

    companion object {
        val Unspecified: Dp get() = TODO()
    }
}

@Stable
val Int.dp: Dp get() = TODO()

@Immutable
@JvmInline
value class TextUnit(val packedValue: Long) {
    companion object {
        val Unspecified: TextUnit get() = TODO()
    }
}

@Stable
val Int.sp: TextUnit get() = TODO()
