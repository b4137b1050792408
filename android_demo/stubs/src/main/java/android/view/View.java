package android.view;

public class View {
    public void setKeepScreenOn(boolean keepScreenOn) { }

    public boolean getKeepScreenOn() { return false; }
}
