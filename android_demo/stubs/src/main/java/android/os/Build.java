package android.os;

public class Build {
    public static final String BOARD = make();
    public static final String FINGERPRINT = make();
    public static final String MANUFACTURER = make();
    public static final String MODEL = make();

    /** Since API 31. */
    public static final String SOC_MANUFACTURER = make();

    /** Since API 31. */
    public static final String SOC_MODEL = make();

    public static final String[] SUPPORTED_ABIS = {make()};

    public static class VERSION {
        public static final String RELEASE = make();
        public static final int SDK_INT = make().length();
    }

    public static class VERSION_CODES {
        public static final int O_MR1 = 27;
        public static final int Q = 29;
        public static final int S = 31;
    }

    private static String make() { return ""; }
}
