package androidx.compose.ui.graphics

import androidx.compose.runtime.Immutable
import androidx.compose.runtime.Stable

@Immutable
@JvmInline
value class Color(val value: ULong) {
    companion object {
        val Unspecified: Color get() = TODO()
    }
}

@Stable
fun Color(color: Long): Color = TODO()

@Immutable
interface Shape
