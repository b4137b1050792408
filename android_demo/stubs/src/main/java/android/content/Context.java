package android.content;

import android.content.pm.PackageManager;
import java.io.File;

public abstract class Context {
    public static final int MODE_PRIVATE = 0;

    public abstract Context getApplicationContext();

    public abstract File getDataDir();

    public abstract PackageManager getPackageManager();

    public abstract SharedPreferences getSharedPreferences(String name, int mode);

    public abstract File getCacheDir();

    public abstract File getFilesDir();

    public abstract File getExternalFilesDir(String type);

    public abstract ContentResolver getContentResolver();

    public abstract String getPackageName();

    public final <T> T getSystemService(Class<T> serviceClass) {
        throw new UnsupportedOperationException("a signature only");
    }

    public final String getString(int resId) {
        throw new UnsupportedOperationException("a signature only");
    }

    public final String getString(int resId, Object... formatArgs) {
        throw new UnsupportedOperationException("a signature only");
    }

    public abstract Intent registerReceiver(BroadcastReceiver receiver, IntentFilter filter);

    public abstract void startActivity(Intent intent);
}
