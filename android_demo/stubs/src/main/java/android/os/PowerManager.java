package android.os;

public final class PowerManager {
    public static final int THERMAL_STATUS_NONE = 0;
    public static final int THERMAL_STATUS_LIGHT = 1;
    public static final int THERMAL_STATUS_MODERATE = 2;
    public static final int THERMAL_STATUS_SEVERE = 3;
    public static final int THERMAL_STATUS_CRITICAL = 4;
    public static final int THERMAL_STATUS_EMERGENCY = 5;
    public static final int THERMAL_STATUS_SHUTDOWN = 6;

    public boolean isInteractive() {
        throw new UnsupportedOperationException("a signature only");
    }

    /** Since API 29. */
    public int getCurrentThermalStatus() {
        throw new UnsupportedOperationException("a signature only");
    }
}
