package dev.edgegen.demo.device

import android.app.ActivityManager
import android.content.Context
import android.content.Intent
import android.content.IntentFilter
import android.os.BatteryManager
import android.os.Build
import android.os.PowerManager
import dev.edgegen.core.bench.DeviceProbe
import dev.edgegen.core.bench.DeviceState
import dev.edgegen.core.bench.ThermalStatus
import java.io.File
import java.io.IOException
import kotlinx.serialization.json.JsonObject
import kotlinx.serialization.json.add
import kotlinx.serialization.json.buildJsonObject
import kotlinx.serialization.json.put
import kotlinx.serialization.json.putJsonArray

/** Asks Android for what an app without permissions may know. */
class AndroidProbe(private val context: Context) : DeviceProbe {
    private val activities = context.getSystemService(ActivityManager::class.java)
    private val power = context.getSystemService(PowerManager::class.java)

    override fun state(): DeviceState {
        // The last broadcast is kept, so none needs to be waited for.
        val battery: Intent? =
            context.registerReceiver(null, IntentFilter(Intent.ACTION_BATTERY_CHANGED))
        val level = battery.number(BatteryManager.EXTRA_LEVEL)
        val scale = battery.number(BatteryManager.EXTRA_SCALE)
        return DeviceState(
            thermalStatus = thermalStatus(),
            celsius = battery.number(BatteryManager.EXTRA_TEMPERATURE)?.let { it / TENTHS },
            batteryPercent =
                if (level != null && scale != null && scale > 0) 100.0 * level / scale else null,
            charging = battery.number(BatteryManager.EXTRA_PLUGGED)?.let { it != 0 },
            screenOn = power.isInteractive,
            availableMemoryBytes = memory().availMem,
        )
    }

    /** Returns the facts that records have of a device; Android tells an app no more than these. */
    override fun description(): JsonObject = buildJsonObject {
        put("serial", "")
        put("transport", "app")
        put("model", Build.MODEL)
        put("manufacturer", Build.MANUFACTURER)
        put("soc", soc())
        put("platform", Build.BOARD)
        putJsonArray("abis") { Build.SUPPORTED_ABIS.forEach { add(it) } }
        put("system", "Android ${Build.VERSION.RELEASE}")
        put("api_level", Build.VERSION.SDK_INT)
        put("build_fingerprint", Build.FINGERPRINT)
        put("ram_total_bytes", memory().totalMem)
        put("ram_available_bytes", memory().availMem)
    }

    /** Resident memory of this process, mapped weights included; `null` if it cannot be read. */
    fun appMemoryBytes(): Long? = try {
        File("/proc/self/status").useLines { lines ->
            lines.firstNotNullOfOrNull { RESIDENT.matchEntire(it) }
        }?.let { it.groupValues[1].toLong() * KIB }
    } catch (_: IOException) {
        null
    }

    private fun memory() = ActivityManager.MemoryInfo().also(activities::getMemoryInfo)

    private fun thermalStatus(): ThermalStatus? =
        if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.Q) {
            ThermalStatus.of(power.currentThermalStatus)
        } else {
            null
        }

    private fun soc(): String? = if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.S) {
        "${Build.SOC_MANUFACTURER} ${Build.SOC_MODEL}"
    } else {
        null
    }

    private companion object {
        const val TENTHS = 10.0
        const val KIB = 1024L
        val RESIDENT = Regex("VmRSS:\\s+(\\d{1,15}) kB")
    }
}

private fun Intent?.number(name: String): Int? = this?.getIntExtra(name, -1)?.takeIf { it >= 0 }
