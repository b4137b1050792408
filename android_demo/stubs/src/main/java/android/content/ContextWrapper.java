package android.content;

import android.content.pm.PackageManager;
import java.io.File;

public class ContextWrapper extends Context {
    private static RuntimeException stub() {
        return new UnsupportedOperationException("a signature only");
    }

    @Override public Context getApplicationContext() { throw stub(); }

    @Override public File getDataDir() { throw stub(); }

    @Override public PackageManager getPackageManager() { throw stub(); }

    @Override public SharedPreferences getSharedPreferences(String name, int mode) {
        throw stub();
    }

    @Override public File getCacheDir() { throw stub(); }

    @Override public File getFilesDir() { throw stub(); }

    @Override public File getExternalFilesDir(String type) { throw stub(); }

    @Override public ContentResolver getContentResolver() { throw stub(); }

    @Override public String getPackageName() { throw stub(); }

    @Override public Intent registerReceiver(BroadcastReceiver receiver, IntentFilter filter) {
        throw stub();
    }

    @Override public void startActivity(Intent intent) { throw stub(); }
}
