package androidx.compose.material3

import androidx.compose.foundation.BorderStroke
import androidx.compose.foundation.interaction.MutableInteractionSource
import androidx.compose.foundation.text.KeyboardActions
import androidx.compose.foundation.text.KeyboardOptions
import androidx.compose.runtime.Composable
import androidx.compose.runtime.Immutable
import androidx.compose.ui.Modifier
import androidx.compose.ui.graphics.Color
import androidx.compose.ui.graphics.Shape
import androidx.compose.ui.text.TextStyle
import androidx.compose.ui.text.input.VisualTransformation
import androidx.compose.ui.unit.Dp

@Immutable
class TextFieldColors

@Composable
fun OutlinedTextField(
    value: String,
    onValueChange: (String) -> Unit,
    modifier: Modifier = Modifier,
    enabled: Boolean = true,
    readOnly: Boolean = false,
    textStyle: TextStyle = TODO(),
    label: @Composable (() -> Unit)? = null,
    placeholder: @Composable (() -> Unit)? = null,
    leadingIcon: @Composable (() -> Unit)? = null,
    trailingIcon: @Composable (() -> Unit)? = null,
    prefix: @Composable (() -> Unit)? = null,
    suffix: @Composable (() -> Unit)? = null,
    supportingText: @Composable (() -> Unit)? = null,
    isError: Boolean = false,
    visualTransformation: VisualTransformation = VisualTransformation.None,
    keyboardOptions: KeyboardOptions = KeyboardOptions.Default,
    keyboardActions: KeyboardActions = KeyboardActions.Default,
    singleLine: Boolean = false,
    maxLines: Int = if (singleLine) 1 else Int.MAX_VALUE,
    minLines: Int = 1,
    interactionSource: MutableInteractionSource? = null,
    shape: Shape = TODO(),
    colors: TextFieldColors = TODO(),
): Unit = TODO()

@Immutable
class SliderColors

@Composable
fun Slider(
    value: Float,
    onValueChange: (Float) -> Unit,
    modifier: Modifier = Modifier,
    enabled: Boolean = true,
    valueRange: ClosedFloatingPointRange<Float> = 0f..1f,
    steps: Int = 0,
    onValueChangeFinished: (() -> Unit)? = null,
    colors: SliderColors = TODO(),
    interactionSource: MutableInteractionSource = TODO(),
): Unit = TODO()

@Immutable
class SelectableChipColors

@Immutable
class SelectableChipElevation

@Composable
fun FilterChip(
    selected: Boolean,
    onClick: () -> Unit,
    label: @Composable () -> Unit,
    modifier: Modifier = Modifier,
    enabled: Boolean = true,
    leadingIcon: @Composable (() -> Unit)? = null,
    trailingIcon: @Composable (() -> Unit)? = null,
    shape: Shape = TODO(),
    colors: SelectableChipColors = TODO(),
    elevation: SelectableChipElevation? = TODO(),
    border: BorderStroke? = TODO(),
    interactionSource: MutableInteractionSource? = null,
): Unit = TODO()

@Composable
fun LinearProgressIndicator(
    progress: () -> Float,
    modifier: Modifier = Modifier,
    color: Color = TODO(),
    trackColor: Color = TODO(),
    strokeCap: Any = TODO(),
    gapSize: Dp = TODO(),
    drawStopIndicator: (Any) -> Unit = TODO(),
): Unit = TODO()

@Composable
fun LinearProgressIndicator(
    modifier: Modifier = Modifier,
    color: Color = TODO(),
    trackColor: Color = TODO(),
    strokeCap: Any = TODO(),
    gapSize: Dp = TODO(),
): Unit = TODO()

@Composable
fun CircularProgressIndicator(
    modifier: Modifier = Modifier,
    color: Color = TODO(),
    strokeWidth: Dp = TODO(),
    trackColor: Color = TODO(),
    strokeCap: Any = TODO(),
    gapSize: Dp = TODO(),
): Unit = TODO()
