package com.google.mediapipe.tasks.genai.llminference;

import android.content.Context;

/** Deprecated in its source, in favour of LiteRT-LM, after 0.10.29. */
public class LlmInference implements AutoCloseable {
    public enum Backend { DEFAULT, CPU, GPU }

    private static RuntimeException stub() {
        return new UnsupportedOperationException("a signature only");
    }

    public static LlmInference createFromOptions(Context context, LlmInferenceOptions options) {
        throw stub();
    }

    @Override public void close() { throw stub(); }

    public abstract static class LlmInferenceOptions {
        public static Builder builder() { throw stub(); }

        public abstract static class Builder {
            public abstract Builder setModelPath(String modelPath);

            public abstract Builder setMaxTokens(int maxTokens);

            public abstract Builder setMaxTopK(int maxTopK);

            public abstract Builder setPreferredBackend(Backend preferredBackend);

            public final LlmInferenceOptions build() { throw stub(); }
        }
    }
}
