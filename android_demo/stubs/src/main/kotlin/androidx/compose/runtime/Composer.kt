@file:Suppress("UNUSED_PARAMETER", "unused")

package androidx.compose.runtime

// What the Compose compiler plugin calls from the code that it makes.

interface Composer {
    val applier: Any?
    val skipping: Boolean
    val defaultsInvalid: Boolean
    val inserting: Boolean
    val rememberedValue: Any?

    fun rememberedValue(): Any?

    fun updateRememberedValue(value: Any?)

    fun shouldExecute(parametersChanged: Boolean, flags: Int): Boolean

    fun startReplaceableGroup(key: Int)

    fun endReplaceableGroup()

    fun startReplaceGroup(key: Int)

    fun endReplaceGroup()

    fun startMovableGroup(key: Int, dataKey: Any?)

    fun endMovableGroup()

    fun startDefaults()

    fun endDefaults()

    fun startRestartGroup(key: Int): Composer

    fun endRestartGroup(): ScopeUpdateScope?

    fun skipToGroupEnd()

    fun skipCurrentGroup()

    fun endToMarker(marker: Int)

    val currentMarker: Int

    fun joinKey(left: Any?, right: Any?): Any

    fun changed(value: Any?): Boolean

    fun changed(value: Boolean): Boolean

    fun changed(value: Char): Boolean

    fun changed(value: Byte): Boolean

    fun changed(value: Short): Boolean

    fun changed(value: Int): Boolean

    fun changed(value: Float): Boolean

    fun changed(value: Long): Boolean

    fun changed(value: Double): Boolean

    fun changedInstance(value: Any?): Boolean

    fun sourceInformation(sourceInformation: String)

    fun sourceInformationMarkerStart(key: Int, sourceInformation: String)

    fun sourceInformationMarkerEnd()

    companion object {
        val Empty: Any = Any()
    }
}

interface ScopeUpdateScope {
    fun updateScope(block: (Composer, Int) -> Unit)
}

val currentComposer: Composer
    @Composable @ReadOnlyComposable get() = throw NotImplementedError()

inline fun <T> Composer.cache(invalid: Boolean, block: @DisallowComposableCalls () -> T): T =
    throw NotImplementedError("$invalid${block()}")

fun updateChangedFlags(flags: Int): Int = flags

fun isTraceInProgress(): Boolean = false

fun traceEventStart(key: Int, dirty1: Int, dirty2: Int, info: String): Unit = Unit

fun traceEventEnd(): Unit = Unit

fun sourceInformation(composer: Composer, sourceInformation: String): Unit = Unit

fun sourceInformationMarkerStart(
    composer: Composer,
    key: Int,
    sourceInformation: String,
): Unit = Unit

fun sourceInformationMarkerEnd(composer: Composer): Unit = Unit
