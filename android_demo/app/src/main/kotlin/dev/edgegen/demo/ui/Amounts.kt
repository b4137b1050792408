package dev.edgegen.demo.ui

import androidx.compose.runtime.Composable
import androidx.compose.ui.res.stringResource
import dev.edgegen.core.bench.ThermalStatus
import dev.edgegen.demo.R

private const val MIB = 1024.0 * 1024.0
private const val GIB = 1024.0 * MIB

/** Returns a size as people read it; what is kept and sent is in bytes. */
@Composable
fun sizeText(bytes: Long): String = if (bytes < GIB) {
    stringResource(R.string.size_mib, bytes / MIB)
} else {
    stringResource(R.string.size_gib, bytes / GIB)
}

@Composable
fun thermalText(status: ThermalStatus): String = stringResource(
    when (status) {
        ThermalStatus.NONE -> R.string.thermal_none
        ThermalStatus.LIGHT -> R.string.thermal_light
        ThermalStatus.MODERATE -> R.string.thermal_moderate
        ThermalStatus.SEVERE -> R.string.thermal_severe
        ThermalStatus.CRITICAL -> R.string.thermal_critical
        ThermalStatus.EMERGENCY -> R.string.thermal_emergency
        ThermalStatus.SHUTDOWN -> R.string.thermal_shutdown
    },
)
