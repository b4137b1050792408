package com.google.mediapipe.tasks.genai.llminference;

public interface ProgressListener<OutputT> {
    void run(OutputT partialResult, boolean done);
}
