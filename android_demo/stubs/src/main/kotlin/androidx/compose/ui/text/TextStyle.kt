package androidx.compose.ui.text

import androidx.compose.runtime.Immutable

@Immutable
class TextStyle {
    companion object {
        val Default: TextStyle get() = TODO()
    }
}

class TextLayoutResult
