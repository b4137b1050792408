package android.content;

import android.net.Uri;

public class Intent {
    public static final String ACTION_BATTERY_CHANGED = "android.intent.action.BATTERY_CHANGED";
    public static final String ACTION_SEND = "android.intent.action.SEND";
    public static final String EXTRA_TEXT = "android.intent.extra.TEXT";

    public Intent(String action) { }

    public Intent(Context packageContext, Class<?> cls) { }

    public static Intent createChooser(Intent target, CharSequence title) {
        throw new UnsupportedOperationException("a signature only");
    }

    public String getAction() { throw new UnsupportedOperationException("a signature only"); }

    public Uri getData() { throw new UnsupportedOperationException("a signature only"); }

    public String getStringExtra(String name) {
        throw new UnsupportedOperationException("a signature only");
    }

    public int getIntExtra(String name, int defaultValue) {
        throw new UnsupportedOperationException("a signature only");
    }

    public Intent putExtra(String name, String value) {
        throw new UnsupportedOperationException("a signature only");
    }

    public Intent setType(String type) {
        throw new UnsupportedOperationException("a signature only");
    }
}
