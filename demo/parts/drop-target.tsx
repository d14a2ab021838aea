// drop-target: the whole window takes a model file.

import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { openFile, support } from "../state/model";
import { running } from "../state/run";

const hovering = signal(false);

export function DropTarget() {
  useEffect(() => {
    const leave = (event: DragEvent): void => {
      if (!event.relatedTarget) hovering.value = false;
    };
    window.addEventListener("dragover", over);
    window.addEventListener("dragleave", leave);
    window.addEventListener("drop", drop);
    return () => {
      window.removeEventListener("dragover", over);
      window.removeEventListener("dragleave", leave);
      window.removeEventListener("drop", drop);
    };
  }, []);
  if (!hovering.value) return null;
  return (
    <div class="drop-target" aria-hidden="true">
      <p>Drop the model to open it here</p>
    </div>
  );
}

function over(event: DragEvent): void {
  if (!event.dataTransfer?.types.includes("Files")) return;
  event.preventDefault();
  hovering.value = true;
}

function drop(event: DragEvent): void {
  hovering.value = false;
  const file = event.dataTransfer?.files[0];
  if (!file) return;
  event.preventDefault();
  if (support.value?.kind === "ready" && !running.value) void openFile(file);
}
