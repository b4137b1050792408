package androidx.compose.ui.semantics

import androidx.compose.ui.Modifier

interface SemanticsPropertyReceiver

@JvmInline
value class LiveRegionMode private constructor(private val value: Int) {
    companion object {
        val Polite: LiveRegionMode get() = TODO()
        val Assertive: LiveRegionMode get() = TODO()
    }
}

fun Modifier.semantics(
    mergeDescendants: Boolean = false,
    properties: SemanticsPropertyReceiver.() -> Unit,
): Modifier = TODO()

fun Modifier.clearAndSetSemantics(
    properties: SemanticsPropertyReceiver.() -> Unit,
): Modifier = TODO()

var SemanticsPropertyReceiver.contentDescription: String
    get() = TODO()
    set(value) = TODO(value)

var SemanticsPropertyReceiver.stateDescription: String
    get() = TODO()
    set(value) = TODO(value)

var SemanticsPropertyReceiver.liveRegion: LiveRegionMode
    get() = TODO()
    set(value) = TODO("$value")

fun SemanticsPropertyReceiver.heading(): Unit = TODO()
