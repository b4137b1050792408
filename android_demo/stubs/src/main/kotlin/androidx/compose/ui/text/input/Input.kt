package androidx.compose.ui.text.input

@JvmInline
value class KeyboardType private constructor(private val value: Int) {
    companion object {
        val Number: KeyboardType get() = TODO()
        val Unspecified: KeyboardType get() = TODO()
    }
}

@JvmInline
value class KeyboardCapitalization private constructor(private val value: Int) {
    companion object {
        val Sentences: KeyboardCapitalization get() = TODO()
        val Unspecified: KeyboardCapitalization get() = TODO()
    }
}

@JvmInline
value class ImeAction private constructor(private val value: Int) {
    companion object {
        val Unspecified: ImeAction get() = TODO()
    }
}

fun interface VisualTransformation {
    fun filter(text: CharSequence): CharSequence

    companion object {
        val None: VisualTransformation get() = TODO()
    }
}
