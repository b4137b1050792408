package com.google.mediapipe.tasks.genai.llminference;

import com.google.common.util.concurrent.ListenableFuture;

/** Deprecated in its source, in favour of LiteRT-LM, after 0.10.29. */
public class LlmInferenceSession implements AutoCloseable {
    private static RuntimeException stub() {
        return new UnsupportedOperationException("a signature only");
    }

    public static LlmInferenceSession createFromOptions(
            LlmInference llmInference, LlmInferenceSessionOptions options) {
        throw stub();
    }

    public void addQueryChunk(String inputText) { throw stub(); }

    public ListenableFuture<String> generateResponseAsync(
            ProgressListener<String> progressListener) {
        throw stub();
    }

    public void cancelGenerateResponseAsync() { throw stub(); }

    public int sizeInTokens(String text) { throw stub(); }

    @Override public void close() { throw stub(); }

    public abstract static class LlmInferenceSessionOptions {
        public static Builder builder() { throw stub(); }

        public abstract static class Builder {
            public abstract Builder setTopK(int topK);

            public abstract Builder setTopP(float topP);

            public abstract Builder setTemperature(float temperature);

            public abstract Builder setRandomSeed(int randomSeed);

            public abstract Builder setPromptTemplates(PromptTemplates promptTemplates);

            public final LlmInferenceSessionOptions build() { throw stub(); }
        }
    }
}
