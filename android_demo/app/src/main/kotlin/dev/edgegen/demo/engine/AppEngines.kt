package dev.edgegen.demo.engine

import android.content.Context
import dev.edgegen.core.engine.Engine
import dev.edgegen.core.engine.EngineException
import dev.edgegen.core.engine.EngineFactory
import dev.edgegen.core.engine.FailureKind
import dev.edgegen.core.engine.MeasuringEngineFactory
import dev.edgegen.demo.settings.EnginePreference
import dev.edgegen.demo.settings.TaskEngine
import dev.edgegen.engine.litertlm.LiteRtLmBenchmark
import dev.edgegen.engine.litertlm.LiteRtLmEngine
import dev.edgegen.engine.mediapipe.MediaPipeEngine
import java.io.File

/** The engines that this app ships. */
class AppEngines(
    private val context: Context,
    private val preference: EnginePreference,
) : EngineFactory {
    override fun create(bundle: File): Engine = when (bundle.extension) {
        "litertlm" -> LiteRtLmEngine()
        "task" -> when (preference.taskEngine.value) {
            TaskEngine.LITERT_LM -> LiteRtLmEngine()
            TaskEngine.MEDIAPIPE -> MediaPipeEngine(context)
        }
        else -> throw unknown(bundle)
    }

    /** MediaPipe cannot time itself; LiteRT-LM can, and opens both formats. */
    val measuring: MeasuringEngineFactory = MeasuringEngineFactory { bundle ->
        if (bundle.extension !in setOf("litertlm", "task")) throw unknown(bundle)
        LiteRtLmBenchmark()
    }

    private fun unknown(bundle: File) = EngineException(
        FailureKind.UNSUPPORTED,
        "no engine opens ${bundle.name}",
        "expected a name that ends in .litertlm or .task",
    )
}
