package android.app;

import android.content.ContextWrapper;
import android.content.Intent;
import android.os.Bundle;
import android.view.Window;

public class Activity extends ContextWrapper {
    private static RuntimeException stub() {
        return new UnsupportedOperationException("a signature only");
    }

    protected void onCreate(Bundle savedInstanceState) { }

    protected void onNewIntent(Intent intent) { }

    public final Application getApplication() { throw stub(); }

    public Intent getIntent() { throw stub(); }

    public void setIntent(Intent newIntent) { }

    public Window getWindow() { throw stub(); }

    public void finish() { }

    public void finishAndRemoveTask() { }

    /** Since API 27. */
    public void setShowWhenLocked(boolean showWhenLocked) { }

    /** Since API 27. */
    public void setTurnScreenOn(boolean turnScreenOn) { }
}
