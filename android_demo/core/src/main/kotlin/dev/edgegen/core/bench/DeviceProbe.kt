package dev.edgegen.core.bench

import dev.edgegen.core.engine.FailureKind
import kotlinx.serialization.json.JsonObject
import kotlinx.serialization.json.buildJsonObject

/** Android's thermal status, in its order; the words are those of `edgegen.bench` records. */
enum class ThermalStatus(val word: String) {
    NONE("none"),
    LIGHT("light"),
    MODERATE("moderate"),
    SEVERE("severe"),
    CRITICAL("critical"),
    EMERGENCY("emergency"),
    SHUTDOWN("shutdown"),
    ;

    companion object {
        /** Returns what `PowerManager.getCurrentThermalStatus` numbers so. */
        fun of(number: Int): ThermalStatus? = entries.getOrNull(number)
    }
}

/**
 * The device's state at one moment; `null` is what it does not tell.
 *
 * @property celsius the battery's temperature, which is the one that apps may read.
 */
data class DeviceState(
    val thermalStatus: ThermalStatus? = null,
    val celsius: Double? = null,
    val batteryPercent: Double? = null,
    val charging: Boolean? = null,
    val screenOn: Boolean? = null,
    val availableMemoryBytes: Long? = null,
)

/** What only Android can tell. */
interface DeviceProbe {
    fun state(): DeviceState

    /** Facts about the device by the names of `edgegen.device.description.DeviceDescription`. */
    fun description(): JsonObject = buildJsonObject { }
}

/**
 * When a device is too hot to be measured: an engine that is slowed down measures the room.
 *
 * @property status the highest thermal status; `edgegen bench` waits for the same.
 * @property celsius the highest temperature of the battery.
 */
data class HeatLimit(
    val status: ThermalStatus = ThermalStatus.NONE,
    val celsius: Double = 43.0,
) {
    /** Returns why a device is too hot, `null` if it is not or does not tell. */
    fun refusal(state: DeviceState): Failure? {
        val now = state.thermalStatus
        val what = when {
            now != null && now > status ->
                "its thermal status is ${now.word}, expected ${status.word}"
            state.celsius != null && state.celsius > celsius ->
                "its battery has ${state.celsius} °C, expected at most $celsius °C"
            else -> return null
        }
        return Failure(
            FailureKind.TOO_HOT,
            "the device is too hot to be measured: $what",
            "let it rest away from sun and charger, and run it again",
        )
    }
}
