package androidx.compose.material3

import androidx.compose.foundation.BorderStroke
import androidx.compose.foundation.layout.ColumnScope
import androidx.compose.foundation.layout.PaddingValues
import androidx.compose.foundation.layout.RowScope
import androidx.compose.foundation.layout.WindowInsets
import androidx.compose.foundation.interaction.MutableInteractionSource
import androidx.compose.runtime.Composable
import androidx.compose.runtime.Immutable
import androidx.compose.runtime.Stable
import androidx.compose.ui.Modifier
import androidx.compose.ui.graphics.Color
import androidx.compose.ui.graphics.Shape
import androidx.compose.ui.unit.Dp
import androidx.compose.ui.unit.dp

@JvmInline
value class FabPosition internal constructor(internal val value: Int) {
    companion object {
        val End: FabPosition get() = TODO()
    }
}

@Composable
fun Scaffold(
    modifier: Modifier = Modifier,
    topBar: @Composable () -> Unit = {},
    bottomBar: @Composable () -> Unit = {},
    snackbarHost: @Composable () -> Unit = {},
    floatingActionButton: @Composable () -> Unit = {},
    floatingActionButtonPosition: FabPosition = FabPosition.End,
    containerColor: Color = TODO(),
    contentColor: Color = TODO(),
    contentWindowInsets: WindowInsets = TODO(),
    content: @Composable (PaddingValues) -> Unit,
): Unit = TODO()

@Composable
fun Surface(
    modifier: Modifier = Modifier,
    shape: Shape = TODO(),
    color: Color = TODO(),
    contentColor: Color = TODO(),
    tonalElevation: Dp = 0.dp,
    shadowElevation: Dp = 0.dp,
    border: BorderStroke? = null,
    content: @Composable () -> Unit,
): Unit = TODO()

@Immutable
class CardColors

object CardDefaults {
    @Composable
    fun cardColors(
        containerColor: Color = Color.Unspecified,
        contentColor: Color = TODO(),
        disabledContainerColor: Color = Color.Unspecified,
        disabledContentColor: Color = TODO(),
    ): CardColors = TODO()
}

@Immutable
class CardElevation

@Composable
fun Card(
    modifier: Modifier = Modifier,
    shape: Shape = TODO(),
    colors: CardColors = TODO(),
    elevation: CardElevation = TODO(),
    border: BorderStroke? = null,
    content: @Composable ColumnScope.() -> Unit,
): Unit = TODO()

@Stable
class TopAppBarColors

@ExperimentalMaterial3Api
interface TopAppBarScrollBehavior

@ExperimentalMaterial3Api
@Composable
fun TopAppBar(
    title: @Composable () -> Unit,
    modifier: Modifier = Modifier,
    navigationIcon: @Composable () -> Unit = {},
    actions: @Composable RowScope.() -> Unit = {},
    expandedHeight: Dp = TODO(),
    windowInsets: WindowInsets = TODO(),
    colors: TopAppBarColors = TODO(),
    scrollBehavior: TopAppBarScrollBehavior? = null,
): Unit = TODO()

@Composable
fun NavigationBar(
    modifier: Modifier = Modifier,
    containerColor: Color = TODO(),
    contentColor: Color = TODO(),
    tonalElevation: Dp = TODO(),
    windowInsets: WindowInsets = TODO(),
    content: @Composable RowScope.() -> Unit,
): Unit = TODO()

@Immutable
class NavigationBarItemColors

@Composable
fun RowScope.NavigationBarItem(
    selected: Boolean,
    onClick: () -> Unit,
    icon: @Composable () -> Unit,
    modifier: Modifier = Modifier,
    enabled: Boolean = true,
    label: @Composable (() -> Unit)? = null,
    alwaysShowLabel: Boolean = true,
    colors: NavigationBarItemColors = TODO(),
    interactionSource: MutableInteractionSource? = null,
): Unit = TODO()

@Composable
fun HorizontalDivider(
    modifier: Modifier = Modifier,
    thickness: Dp = TODO(),
    color: Color = TODO(),
): Unit = TODO()

@Composable
fun AlertDialog(
    onDismissRequest: () -> Unit,
    confirmButton: @Composable () -> Unit,
    modifier: Modifier = Modifier,
    dismissButton: @Composable (() -> Unit)? = null,
    icon: @Composable (() -> Unit)? = null,
    title: @Composable (() -> Unit)? = null,
    text: @Composable (() -> Unit)? = null,
    shape: Shape = TODO(),
    containerColor: Color = TODO(),
    iconContentColor: Color = TODO(),
    titleContentColor: Color = TODO(),
    textContentColor: Color = TODO(),
    tonalElevation: Dp = TODO(),
    properties: Any = TODO(),
): Unit = TODO()

@Stable
@ExperimentalMaterial3Api
class SheetState

@Immutable
@ExperimentalMaterial3Api
class ModalBottomSheetProperties

@ExperimentalMaterial3Api
@Composable
fun rememberModalBottomSheetState(
    skipPartiallyExpanded: Boolean = false,
    confirmValueChange: (Any) -> Boolean = { true },
): SheetState = TODO()

@ExperimentalMaterial3Api
@Composable
fun ModalBottomSheet(
    onDismissRequest: () -> Unit,
    modifier: Modifier = Modifier,
    sheetState: SheetState = rememberModalBottomSheetState(),
    sheetMaxWidth: Dp = TODO(),
    sheetGesturesEnabled: Boolean = true,
    shape: Shape = TODO(),
    containerColor: Color = TODO(),
    contentColor: Color = TODO(),
    tonalElevation: Dp = 0.dp,
    scrimColor: Color = TODO(),
    dragHandle: @Composable (() -> Unit)? = TODO(),
    contentWindowInsets: @Composable () -> WindowInsets = TODO(),
    properties: ModalBottomSheetProperties = TODO(),
    content: @Composable ColumnScope.() -> Unit,
): Unit = TODO()
