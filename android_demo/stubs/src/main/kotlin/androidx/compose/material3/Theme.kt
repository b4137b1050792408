package androidx.compose.material3

import android.content.Context
import androidx.compose.runtime.Composable
import androidx.compose.runtime.Immutable
import androidx.compose.runtime.ReadOnlyComposable
import androidx.compose.ui.graphics.Color
import androidx.compose.ui.graphics.Shape
import androidx.compose.ui.text.TextStyle

@RequiresOptIn("This material API is experimental.")
@Retention(AnnotationRetention.BINARY)
annotation class ExperimentalMaterial3Api

@Immutable
class ColorScheme {
    val primary: Color get() = TODO()
    val onPrimary: Color get() = TODO()
    val primaryContainer: Color get() = TODO()
    val onPrimaryContainer: Color get() = TODO()
    val secondaryContainer: Color get() = TODO()
    val onSecondaryContainer: Color get() = TODO()
    val surface: Color get() = TODO()
    val onSurface: Color get() = TODO()
    val onSurfaceVariant: Color get() = TODO()
    val surfaceContainer: Color get() = TODO()
    val surfaceContainerHigh: Color get() = TODO()
    val error: Color get() = TODO()
    val errorContainer: Color get() = TODO()
    val onErrorContainer: Color get() = TODO()
}

// The real functions have a parameter for each role; the app names these three.
fun lightColorScheme(
    primary: Color = TODO(),
    secondary: Color = TODO(),
    tertiary: Color = TODO(),
): ColorScheme = TODO()

fun darkColorScheme(
    primary: Color = TODO(),
    secondary: Color = TODO(),
    tertiary: Color = TODO(),
): ColorScheme = TODO()

fun dynamicLightColorScheme(context: Context): ColorScheme = TODO()

fun dynamicDarkColorScheme(context: Context): ColorScheme = TODO()

@Immutable
class Typography {
    val headlineSmall: TextStyle get() = TODO()
    val titleLarge: TextStyle get() = TODO()
    val titleMedium: TextStyle get() = TODO()
    val titleSmall: TextStyle get() = TODO()
    val bodyLarge: TextStyle get() = TODO()
    val bodyMedium: TextStyle get() = TODO()
    val bodySmall: TextStyle get() = TODO()
    val labelLarge: TextStyle get() = TODO()
    val labelMedium: TextStyle get() = TODO()
    val labelSmall: TextStyle get() = TODO()
}

@Immutable
class Shapes {
    val medium: Shape get() = TODO()
    val large: Shape get() = TODO()
}

object MaterialTheme {
    val colorScheme: ColorScheme
        @Composable @ReadOnlyComposable get() = TODO()
    val typography: Typography
        @Composable @ReadOnlyComposable get() = TODO()
    val shapes: Shapes
        @Composable @ReadOnlyComposable get() = TODO()
}

@Composable
fun MaterialTheme(
    colorScheme: ColorScheme = MaterialTheme.colorScheme,
    shapes: Shapes = MaterialTheme.shapes,
    typography: Typography = MaterialTheme.typography,
    content: @Composable () -> Unit,
): Unit = TODO()
