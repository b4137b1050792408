package androidx.compose.foundation.layout

import androidx.compose.runtime.Composable
import androidx.compose.runtime.Immutable
import androidx.compose.runtime.Stable
import androidx.compose.ui.Alignment
import androidx.compose.ui.Modifier
import androidx.compose.ui.unit.Dp
import androidx.compose.ui.unit.dp

@Immutable
object Arrangement {
    @Stable
    interface Horizontal

    @Stable
    interface Vertical

    @Stable
    interface HorizontalOrVertical : Horizontal, Vertical

    val Start: Horizontal get() = TODO()
    val End: Horizontal get() = TODO()
    val Top: Vertical get() = TODO()
    val Bottom: Vertical get() = TODO()
    val Center: HorizontalOrVertical get() = TODO()
    val SpaceBetween: HorizontalOrVertical get() = TODO()

    fun spacedBy(space: Dp): HorizontalOrVertical = TODO()
}

@Stable
interface PaddingValues

@Stable
fun PaddingValues(all: Dp): PaddingValues = TODO()

@Stable
fun PaddingValues(horizontal: Dp = 0.dp, vertical: Dp = 0.dp): PaddingValues = TODO()

// Keeps a scope's modifiers from being used in a scope within it.
@DslMarker
annotation class LayoutScopeMarker

@LayoutScopeMarker
@Immutable
interface ColumnScope {
    fun Modifier.weight(weight: Float, fill: Boolean = true): Modifier

    fun Modifier.align(alignment: Alignment.Horizontal): Modifier
}

@LayoutScopeMarker
@Immutable
interface RowScope {
    fun Modifier.weight(weight: Float, fill: Boolean = true): Modifier

    fun Modifier.align(alignment: Alignment.Vertical): Modifier
}

@LayoutScopeMarker
@Immutable
interface BoxScope {
    fun Modifier.align(alignment: Alignment): Modifier
}

@LayoutScopeMarker
interface FlowRowScope : RowScope

@PublishedApi
internal val columnScope: ColumnScope get() = TODO()

@PublishedApi
internal val rowScope: RowScope get() = TODO()

@PublishedApi
internal val boxScope: BoxScope get() = TODO()

@Composable
inline fun Column(
    modifier: Modifier = Modifier,
    verticalArrangement: Arrangement.Vertical = Arrangement.Top,
    horizontalAlignment: Alignment.Horizontal = Alignment.Start,
    content: @Composable ColumnScope.() -> Unit,
) {
    columnScope.content()
}

@Composable
inline fun Row(
    modifier: Modifier = Modifier,
    horizontalArrangement: Arrangement.Horizontal = Arrangement.Start,
    verticalAlignment: Alignment.Vertical = Alignment.Top,
    content: @Composable RowScope.() -> Unit,
) {
    rowScope.content()
}

@Composable
inline fun Box(
    modifier: Modifier = Modifier,
    contentAlignment: Alignment = Alignment.TopStart,
    propagateMinConstraints: Boolean = false,
    content: @Composable BoxScope.() -> Unit,
) {
    boxScope.content()
}

@Composable
fun Spacer(modifier: Modifier): Unit = TODO()

@Composable
fun FlowRow(
    modifier: Modifier = Modifier,
    horizontalArrangement: Arrangement.Horizontal = Arrangement.Start,
    verticalArrangement: Arrangement.Vertical = Arrangement.Top,
    itemVerticalAlignment: Alignment.Vertical = Alignment.Top,
    maxItemsInEachRow: Int = Int.MAX_VALUE,
    maxLines: Int = Int.MAX_VALUE,
    content: @Composable FlowRowScope.() -> Unit,
): Unit = TODO()

@Stable
fun Modifier.padding(all: Dp): Modifier = TODO()

@Stable
fun Modifier.padding(horizontal: Dp = 0.dp, vertical: Dp = 0.dp): Modifier = TODO()

@Stable
fun Modifier.padding(
    start: Dp = 0.dp,
    top: Dp = 0.dp,
    end: Dp = 0.dp,
    bottom: Dp = 0.dp,
): Modifier = TODO()

@Stable
fun Modifier.padding(paddingValues: PaddingValues): Modifier = TODO()

@Stable
fun Modifier.fillMaxSize(fraction: Float = 1f): Modifier = TODO()

@Stable
fun Modifier.fillMaxWidth(fraction: Float = 1f): Modifier = TODO()

@Stable
fun Modifier.size(size: Dp): Modifier = TODO()

@Stable
fun Modifier.height(height: Dp): Modifier = TODO()

@Stable
fun Modifier.width(width: Dp): Modifier = TODO()

@Stable
fun Modifier.widthIn(min: Dp = Dp.Unspecified, max: Dp = Dp.Unspecified): Modifier = TODO()

@Stable
fun Modifier.heightIn(min: Dp = Dp.Unspecified, max: Dp = Dp.Unspecified): Modifier = TODO()

fun Modifier.imePadding(): Modifier = TODO()

fun Modifier.safeDrawingPadding(): Modifier = TODO()

@Stable
fun Modifier.consumeWindowInsets(paddingValues: PaddingValues): Modifier = TODO()

@Stable
interface WindowInsets
