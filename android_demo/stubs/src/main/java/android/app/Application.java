package android.app;

import android.content.ComponentCallbacks2;
import android.content.ContextWrapper;

public class Application extends ContextWrapper implements ComponentCallbacks2 {
    public void onCreate() { }

    @Override public void onTrimMemory(int level) { }
}
