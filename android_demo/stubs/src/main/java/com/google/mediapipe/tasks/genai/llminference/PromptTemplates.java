package com.google.mediapipe.tasks.genai.llminference;

public abstract class PromptTemplates {
    public static Builder builder() {
        throw new UnsupportedOperationException("a signature only");
    }

    public abstract static class Builder {
        public abstract Builder setUserPrefix(String userPrefix);

        public abstract Builder setUserSuffix(String userSuffix);

        public abstract Builder setModelPrefix(String modelPrefix);

        public abstract Builder setModelSuffix(String modelSuffix);

        public abstract Builder setSystemPrefix(String systemPrefix);

        public abstract Builder setSystemSuffix(String systemSuffix);

        public final PromptTemplates build() {
            throw new UnsupportedOperationException("a signature only");
        }
    }
}
